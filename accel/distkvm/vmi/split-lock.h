/*
 * distkvm: the split-lock token
 *
 * Node 0 keeps the split-lock token, and lets one node at a time execute a
 * misaligned LOCK.  Requests are granted in the order of their frames.
 * Spec: docs/architecture.rst, "LOCK".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_SPLIT_LOCK_H
#define DISTKVM_SPLIT_LOCK_H

#include "accel/distkvm/core/coh-types.h"

/* Serve WIRE_TOKEN frames.  Main thread, before membership starts. */
void split_lock_init(void);
/*
 * Wait until this node has the split-lock token, and no other vCPU of this node
 * uses it; after the loss of a node return without it.  vCPU threads, without
 * the BQL.
 */
void split_lock_take(void);
/* Give back what split_lock_take() took, if it did.  The same thread. */
void split_lock_release(void);
/*
 * Since when this node has waited for the split-lock token, in ns of
 * get_clock(), and in *@node the node that has it, as far as this one knows; 0:
 * it does not wait.  Any thread.
 */
int64_t split_lock_waits_since_ns(CohNodeId *node);

#endif
