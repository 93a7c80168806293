/*
 * distkvm: power-off of the cluster
 *
 * Main loop, BQL held, unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_POWER_OFF_H
#define DISTKVM_POWER_OFF_H

#include "qapi/qapi-types-run-state.h"
#include "accel/distkvm/cluster/member.h"

/* Once, before the guest may start. */
void power_off_init(void);
/*
 * Call @kept on node 0 when the guest is over, and -no-shutdown keeps it.
 * Once, before membership starts.
 */
void power_off_listen(void (*kept)(void));
/* At followers: node 0 starts or resets the guest, which has not ended then. */
void power_off_settled(void);
/* The guest is lost: end, if that was asked for. */
void power_off_failed(void);
/* The cluster ends in good order, and @node has gone.  Any thread. */
void power_off_left(CohNodeId node);
/* Does the cluster end in good order? */
bool power_off_is_leaving(void);
/* The cause in a peer's message, or another one if there is none such. */
ShutdownCause shutdown_cause_of(const MemberCause *body);

#endif
