/*
 * distkvm: members, as other folders see them
 *
 * Any thread, any lock; never waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBER_H
#define DISTKVM_MEMBER_H

#include "accel/distkvm/cluster/distkvm-qapi-types.h"
#include "accel/distkvm/core/coh-types.h"
#include "member-types.h"

/*
 * A type of control message.  qapi/distkvm-messages.json describes it: a
 * malformed one does not get here.  wire/rules.c says which node may send it to
 * which, and when; no other is served.
 */
typedef struct MemberService {
    MemberMessageType type;
    MemberContext context;
    /*
     * @message is @from's, valid for the call.  NULL, or the fault in it, in
     * words like "it sent ..." or "its clock ...": then @from is expelled.
     */
    const char *(*serve)(CohNodeId from, const MemberMessage *message);
} MemberService;

/*
 * Serve @n types of messages; @services is static.  Main thread, before
 * membership starts.  A type that is not registered expels its sender.
 */
void member_register(const MemberService *services, size_t n);
/*
 * Serve @message of a member, and free it; the fault in it, or NULL.
 * Member thread, for membership.c.
 */
const char *member_serve(CohNodeId from, MemberMessage *message);

/* Tell @to, if it has joined. */
void member_send(CohNodeId to, const MemberMessage *message);
/* The same where the type says it all. */
void member_say(CohNodeId to, MemberMessageType type);
/* Tell all others that have joined. */
void member_broadcast(const MemberMessage *message);

/* As of now. */
MemberState member_state(CohNodeId id);
/* Time since @id was heard of, in ms. */
int64_t member_silence_ms(CohNodeId id);
/* When the members were pinged last, in ms of CLOCK_BOOTTIME; 0: never. */
int64_t member_last_tick_ms(void);

/* @peer broke the rules, as @why says of it: "it ...".  Expel it. */
void member_expel(CohNodeId peer, const char *why);
/* A lane to @peer has ended: a loss, unless it leaves in good order. */
void member_closed(CohNodeId peer, const char *why);
/* This node cannot go on, because of @why: tell the others, and give it up. */
void member_broken(const char *why);
/* The cluster ends in good order: a closed connection is no loss. */
void member_leaving(void);

#endif
