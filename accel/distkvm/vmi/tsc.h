/*
 * distkvm: the guest's time stamp counter
 *
 * On every node it counts guest time at one frequency.  TCG computes it;
 * under KVM the processor counts, and its offset is set: exactly when the
 * guest starts, forwards only while it runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VMI_TSC_H
#define DISTKVM_VMI_TSC_H

#include "qobject/qdict.h"
#include "hw/core/cpu.h"
#include "accel/distkvm/core/coh-types.h"

/* As KVM takes two frequencies for one: closer is as good as equal. */
#define TSC_TOLERANCE_PPM 250

static inline bool vmi_tsc_equal(int64_t khz_a, int64_t khz_b)
{
    return llabs(khz_a - khz_b) <=
           MAX(khz_a, khz_b) * TSC_TOLERANCE_PPM / 1000000;
}

/* Add this node's frequency to its hello. */
void vmi_tsc_hello(QDict *hello);
/* @node, whose hello agrees with ours, states @khz.  Member thread. */
void vmi_tsc_peer(CohNodeId node, uint32_t khz);
/* All nodes have joined.  Main thread, before the guest starts. */
bool vmi_tsc_start(Error **errp);
/* KVM has set the counter of @cpu, which is local, to 0.  Main thread. */
void vmi_tsc_after_reset(CPUState *cpu);
/* The counter under TCG.  Any thread, no lock. */
int64_t vmi_tsc_ticks(void);

#endif
