/*
 * distkvm: QMP events about nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_EVENTS_H
#define DISTKVM_EVENTS_H

#include "accel/distkvm/core/coh-types.h"

/*
 * Each is emitted by the main loop, in the order of these calls.  Any thread,
 * any lock; never waits.
 */
void events_node_joined(CohNodeId node);
/* Because of @why, which says "it ..."; for @wait_ms ms so far. */
void events_node_slow(CohNodeId node, const char *why, int64_t wait_ms);
/*
 * Look for nodes that are silent.  Called by each tick of membership, on its
 * thread.
 */
void events_tick(void);

/* @node is lost, because of @why, which does not name it.  Main loop, BQL. */
void events_node_lost(CohNodeId node, const char *why);

#endif
