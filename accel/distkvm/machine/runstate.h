/*
 * distkvm: the run state of the cluster
 *
 * Main loop, BQL held, unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RUNSTATE_H
#define DISTKVM_RUNSTATE_H

#include "accel/distkvm/core/coh-types.h"

/* Once, before the guest may start. */
void cluster_runstate_init(void);
/* All nodes have joined, and know the memory map as it was. */
void cluster_runstate_formed(void);
/*
 * @node has gone before all had joined: its successor must say itself that it
 * wants the guest to run.  Any thread.
 */
void cluster_runstate_left_early(CohNodeId node);

#endif
