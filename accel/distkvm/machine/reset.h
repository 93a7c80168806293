/*
 * distkvm: resets of the cluster
 *
 * Main loop, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RESET_H
#define DISTKVM_RESET_H

#include "accel/distkvm/core/coh-types.h"

/* News for the run state, which waits for resets. */
typedef struct ResetListener {
    /* Node 0: @node was reset; its next stop is one of the new guest. */
    void (*was_reset)(CohNodeId node);
    /* Node 0: all nodes were. */
    void (*all_reset)(void);
    /* The reset of this node has failed, and only another one lets it go on. */
    void (*failed)(void);
} ResetListener;

/* Once, before the guest may start. */
void cluster_reset_init(void);
/* Once, before membership starts; @listener stays. */
void cluster_reset_listen(const ResetListener *listener);
/* Node 0: no reset is under way. */
bool cluster_reset_is_idle(void);
/* Node 0: is each node resetting its own devices? */
bool cluster_reset_is_doing(void);
/*
 * The guest has to be reset before it runs, although the run state (PRELAUNCH)
 * does not say so: that was asked for here, or the last reset has failed here.
 */
bool cluster_reset_is_due(void);

#endif
