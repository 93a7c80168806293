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
/* Node 0: the guest is over, and -no-shutdown keeps it. */
void cluster_runstate_ended(void);
/* Node 0: @node was reset; its next stop is one of the new guest. */
void cluster_runstate_was_reset(CohNodeId node);
/* Node 0: all nodes were. */
void cluster_runstate_all_reset(void);
/* The reset of this node has failed, and only another one lets it go on. */
void cluster_runstate_reset_failed(void);

#endif
