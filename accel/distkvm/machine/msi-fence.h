/*
 * distkvm: the fence of message-signalled interrupts of this node's devices
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MSI_FENCE_H
#define DISTKVM_MSI_FENCE_H

#include "exec/memory.h"
#include "fence.h"

/* Watch PCI functions, those that are there too.  After irq_fence_init(). */
void msi_fence_init(void);
/* A frame of an interrupt leaves for @to. */
void msi_fence_left(CohNodeId to);
/* FenceOps' deliver(). */
void msi_fence_deliver(FenceVector *v, const FenceMessage *message);
/*
 * Nodes to which interrupts may be under way that a read of @mr must not
 * overtake: those of its function, and behind a host bridge of all functions.
 */
CohNodeSet msi_fence_nodes(const MemoryRegion *mr);

#endif
