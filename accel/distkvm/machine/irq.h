/*
 * distkvm: interrupts between nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IRQ_H
#define DISTKVM_IRQ_H

#include "hw/core/cpu.h"
#include "accel/distkvm/wire/wire.h"

/* Serve frames of interrupts.  Main thread, before membership starts. */
void irq_init(void);
/* In place of the accelerator's handle_interrupt.  BQL held. */
void irq_handle_interrupt(CPUState *cpu, int mask);
/* The accelerator's own @handler, for local vCPUs.  Main thread. */
void irq_set_local_handler(void (*handler)(CPUState *cpu, int mask));
/* Was @frame sent before a reset of the guest that it arrived after? */
bool irq_is_stale(const WireFrame *frame);
/* Post an interrupt, or a line or message of a PCI function.  BQL held. */
void irq_post(CohNodeId to, const WireFrame *frame);
/* Test hook: those frames leave by @test, in their order.  BQL held. */
void irq_set_test_post(void (*test)(CohNodeId to, const WireFrame *frame));

#endif
