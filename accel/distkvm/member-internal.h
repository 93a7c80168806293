/*
 * distkvm: membership's insides, shared by member.c and member-join.c
 *
 * member.c keeps joined members; member-join.c makes strangers into members.
 * Fields are the member thread's unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBER_INTERNAL_H
#define DISTKVM_MEMBER_INTERNAL_H

#include "io/net-listener.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "channel.h"
#include "clock.h"
#include "distkvm-internal.h"

/* From connection to a right hello. */
#define HELLO_MS 10000

typedef struct Member {
    CohNodeId id;
    /* atomic */
    MemberState state;
    int64_t heard_ms;           /* atomic */
    bool dialing;
    int64_t dial_ms;            /* when to dial next */
    int64_t since_ms;           /* of the connection */
    bool proved;                /* its hello was right */
    bool reachable;             /* our endpoint to it is made */
    bool ready;                 /* its endpoint to us is made */
    Channel *channel;           /* under lock */
} Member;

/* A connection that has not proved which node it is. */
typedef struct Stranger {
    Channel *channel;
    int64_t end_ms;             /* when it is closed */
    bool greeted;
} Stranger;

typedef struct Membership {
    QemuThread thread;
    GMainContext *context;
    QIONetListener *listener;
    QDict *hello;
    QemuMutex lock;             /* channel pointers */
    Member member[COH_NODES_MAX];
    GSList *strangers;          /* Stranger */
    int64_t start_ms, progress_ms, tick_ms;
    bool formed, gave_up;
    bool leaving;               /* atomic */
} Membership;

extern Membership mm;

static inline int64_t member_now_ms(void)
{
    return get_clock() / SCALE_MS;
}

extern const ChannelListener member_channel_listener;

/* member.c */
void member_lose(Member *m, const char *why);

/* member-join.c */
bool join_listen(Error **errp);
void join_stranger_message(Channel *c, const char *type,
                           const QDict *message);
void join_stranger_gone(Channel *c);
/* A message of a connection that is not a joined member's; true if it was. */
bool join_message(Member *m, const char *type, const QDict *message);
void join_dial(Member *m);
/* Every tick, until the cluster has formed (strangers: for ever). */
void join_tick(int64_t now);
/* This node cannot join: say so and end, which start-up may do. */
void join_give_up(const char *why);

#endif
