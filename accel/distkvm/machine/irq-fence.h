/*
 * distkvm: interrupts that move do not overtake older ones, between nodes
 *
 * fence.h with frames and locks around it.  BQL held, unless a comment says
 * otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IRQ_FENCE_H
#define DISTKVM_IRQ_FENCE_H

#include "fence.h"

/* Main thread, before membership starts. */
void irq_fence_init(void);
Fence *irq_fence(void);
/* A frame of an interrupt leaves for @to, or was served that @from sent. */
void irq_fence_sent(CohNodeId to);
void irq_fence_served(CohNodeId from);
/*
 * Wait until @count frames of @from have been served here; they are under way,
 * and this waits for no peer's doing.  Drops the BQL meanwhile, if it is held.
 * Ends when a node is lost, too.  Not on the service thread.
 */
void irq_fence_wait(CohNodeId from, uint64_t count);
/*
 * Since when a node has owed an answer, or frames that it says it sent, in ns
 * of get_clock(), and which node; 0: none does.  Any thread.
 */
int64_t irq_fence_waits_since_ns(CohNodeId *node);

#endif
