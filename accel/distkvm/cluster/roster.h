/*
 * distkvm: every node, and how far it is
 *
 * For the files of this folder.  Fields and calls are the member thread's
 * unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ROSTER_H
#define DISTKVM_ROSTER_H

#include "io/net-listener.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/cluster/distkvm-qapi-types.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/wire/greeting.h"
#include "door.h"
#include "member-ops.h"
#include "member-types.h"

/*
 * From a connection to its proof, and from there to its hello, in ms; and the
 * time that each further connection may cost a node whose peers all come at
 * once.
 */
#define DOOR_MS 3000
#define DOOR_EACH_MS 5

typedef struct Member {
    CohNodeId id;
    /* atomic */
    MemberState state;
    int64_t heard_ms;           /* atomic */
    /* dialing */
    bool dialing;
    Door *door;                 /* of ours to it */
    int64_t door_end_ms;
    int64_t dial_ms;            /* when to dial next */
    int64_t refused_ms;         /* since when it tells us to come again; 0 */
    char *why;                  /* it has not joined, for messages */
    /* from here on of one connection; cleared with it */
    unsigned incarnation;       /* counts connections; atomic */
    int64_t since_ms;           /* of the step at hand */
    char *address;              /* where it is connected from */
    bool known;                 /* its hello was right */
    char *apart;                /* why memory cannot be shared, or NULL */
    bool misleads;              /* UCX takes it for shared nevertheless */
    Cookie ours, theirs;
    bool addressed;             /* its address is here */
    GByteArray *ucx;            /* that; empty for streams */
    bool address_sent, lanes_dialed, ready_sent;
    bool trying;                /* whether frames pass */
    unsigned lanes;             /* a bit for each that is connected */
    bool reachable;             /* all are */
    bool ready;                 /* it says the same */
    bool reached_sent;          /* frames passed, and woke it */
    bool reached;               /* it says the same */
    int64_t lanes_pinged_ms;
    int64_t answered_ms;        /* when the last ping left that it answered */
    int64_t ponged_ms;          /* when it was answered last */
    Channel *channel;           /* under lock */
} Member;

typedef struct Membership {
    const MemberOps *ops;
    QemuThread thread;
    GMainContext *context;
    QIONetListener *listener;
    const ChannelListener *control;     /* of control connections */
    void (*lanes_connected)(Member *m); /* all of its lanes, or one more */
    QDict *hello, *place;
    QemuMutex lock;             /* channel pointers */
    Member member[COH_NODES_MAX];
    GQueue doors;               /* AcceptedDoor, oldest first */
    GQueue strangers;           /* Stranger, oldest first */
    GQueue lane_dials;          /* LaneDial of lane-streams.c */
    int64_t start_ms, progress_ms, tick_ms, guarded_ms;
    bool decided;               /* a transport is chosen */
    TransportNew *transport;    /* that */
    bool formed, gave_up;
    bool hangs;                 /* a lane of this node; it was said */
    bool expelled;              /* this node has been stopped for too long */
    bool leaving;               /* atomic */
} Membership;

extern Membership mm;

static inline int64_t member_now_ms(void)
{
    return host_boottime_ns() / SCALE_MS;
}

/* Connections that a node has when all have joined. */
static inline unsigned member_connections(void)
{
    return distkvm->nodes * (distkvm->engine_config.lanes.n + 1);
}

static inline int64_t member_door_end_ms(void)
{
    return member_now_ms() + DOOR_MS + DOOR_EACH_MS * member_connections();
}

/* Main thread, once, before the member thread. */
void roster_init(const MemberOps *ops);

/* Tell @m, which may be joining. */
void roster_send(Member *m, const MemberMessage *message);
/* Tell @m if it has joined, in the form of message_format().  Any thread. */
void roster_tell(Member *m, const QDict *message);
/* Tell all that have joined.  Any thread. */
void roster_tell_all(const MemberMessage *message);

/* @m has joined. */
void roster_add(Member *m);
/* A step, or part of it, is done: the next has its time from now on. */
void roster_step_done(Member *m);
/* Its connection has ended: steps that were taken on it count no more. */
void roster_forget(Member *m);
/* @m has gone, or is given up, because of @why, which says "it ...". */
void roster_lose(Member *m, const char *why);
/* This node cannot go on, because of @why. */
void roster_broken(const char *why);
/* The same: its engine thread of @lane does not. */
void roster_lane_hangs(int lane);
/* This node cannot join: say so and end.  Main thread, too, at the start. */
void roster_give_up(const char *why);
/* The cluster ends in good order.  Any thread. */
void roster_leaving(void);

#endif
