/*
 * distkvm: for management: query-distkvm, info distkvm, and the event
 *
 * Main loop, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_QMP_H
#define DISTKVM_QMP_H

#include "accel/distkvm/core/coh-types.h"

/* info distkvm.  Once. */
void distkvm_qmp_init(void);
/* The event: @node is lost, because of @why, which does not name it. */
void distkvm_qmp_node_lost(CohNodeId node, const char *why);

#endif
