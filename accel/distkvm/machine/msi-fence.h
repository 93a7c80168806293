/*
 * distkvm: the fence of message-signalled interrupts of this node's devices
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MSI_FENCE_H
#define DISTKVM_MSI_FENCE_H

#include "qom/object.h"
#include "fence.h"

/* Watch PCI functions, those that are there too; @fence stays. */
void msi_fence_init(Fence *fence);
/* A frame of an interrupt leaves for @to. */
void msi_fence_left(CohNodeId to);
/* FenceOps' deliver(). */
void msi_fence_deliver(FenceVector *v, const FenceMessage *message);
/* All that @v held then has left, for the nodes in @v->to. */
typedef void MsiFenceLeft(void *opaque, const FenceVector *v);
/*
 * The answer to an access to @device must not overtake the interrupts of that
 * function, nor of all functions, if it is a host bridge.  NULL: no device.
 * Adds to @nodes those to which some may be under way.  Returns how many vectors
 * hold some: @left(@opaque, vector) is called for each when these have left.
 */
unsigned msi_fence_push(Object *device, CohNodeSet *nodes, MsiFenceLeft *left,
                        void *opaque);

#endif
