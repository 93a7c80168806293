/*
 * distkvm: state that every node keeps a copy of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REPLICA_H
#define DISTKVM_REPLICA_H

#include "qobject/qdict.h"
#include "hw/core/cpu.h"
#include "accel/distkvm/core/coh-types.h"

/* Main thread, once. */
void replica_init(void);
/*
 * Tell all others of a change and count acknowledgements.  BQL held.
 * Returns the change's number.
 */
uint64_t replica_publish(QDict *message);
/* The number of the last change; any thread. */
uint64_t replica_last(void);
/* Run @fn under no lock when change @seq is acknowledged by all. */
void replica_then(uint64_t seq, void (*fn)(void *opaque), void *opaque);
/* The running vCPU waits for its changes before it executes on.  BQL held. */
void replica_wait_on_cpu(CPUState *cpu);
void replica_acked(CohNodeId from, uint64_t seq);
/*
 * Has @node had a map for a while, so that no older access is under way?  Any
 * thread.
 */
bool replica_has_settled(CohNodeId node);
/* Service thread: a change from a peer. */
void replica_apply(CohNodeId from, const QDict *message);
/*
 * Since when has the oldest change waited, in ns of get_clock(), and for which
 * node?  0: all is acknowledged.  Any thread.
 */
int64_t replica_waits_since_ns(CohNodeId *node);

#endif
