/*
 * distkvm: membership's insides
 *
 * member.c keeps joined members; listen.c lets connections in,
 * join.c makes the peers behind them into members, lane-streams.c the
 * streams of their lanes, path.c chooses what frames travel over.
 * Fields are the member thread's unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBER_INTERNAL_H
#define DISTKVM_MEMBER_INTERNAL_H

#include "io/net-listener.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/wire/rules.h"
#include "accel/distkvm/node.h"
#include "door.h"
#include "hello.h"

/* From one step of joining to the next. */
#define STEP_MS 10000
/*
 * From a connection to its proof, and from there to its hello; and what each
 * connection besides may cost a node whose peers all come at once, in ms.
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

/* A connection that has not said which node it is. */
typedef struct Stranger {
    Channel *channel;
    CohNodeId node;             /* as its greeting says */
    char *address;
    int64_t end_ms;             /* when it is closed */
    bool greeted;
} Stranger;

typedef struct Membership {
    QemuThread thread;
    GMainContext *context;
    QIONetListener *listener;
    QDict *hello, *place;
    QemuMutex lock;             /* channel pointers */
    Member member[COH_NODES_MAX];
    GQueue doors;               /* AcceptedDoor, oldest first */
    GQueue strangers;           /* Stranger, oldest first */
    GQueue lane_dials;          /* LaneDial of lane-streams.c */
    int64_t start_ms, progress_ms, tick_ms, guarded_ms;
    bool decided;               /* what frames travel over */
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

extern const ChannelListener member_channel_listener;

/* member.c */
void member_lose(Member *m, const char *why);
/* @m has joined. */
void member_in(Member *m);

/* listen.c */
bool listen_start(Error **errp);
/* Every tick, for ever: who takes too long is closed. */
void listen_tick(int64_t now);
void listen_message(Channel *c, const char *type, const QDict *message,
                    size_t len);
void listen_gone(Channel *c);
/* @s is no stranger any more; its channel is the caller's. */
void listen_forget(Stranger *s);
/* Tell it why, and close soon. */
void listen_refuse(Stranger *s, bool retry, const char *why);

/* join.c */
void join_hello(Stranger *s, const QDict *hello);
/* A message of a connection that is a member's; true if it was for joining. */
bool join_message(Member *m, const char *type, const QDict *message);
/* Take the steps that are possible now. */
void join_proceed(Member *m);
void join_dial(Member *m);
/* Every tick, until the cluster has formed. */
void join_tick(int64_t now);
/* A step, or part of it, is done: the next has its time from now on. */
void join_step_done(Member *m);
/* Its connection has ended: what was agreed on it counts no more. */
void join_forget(Member *m);
/* This node cannot join: say so and end, which start-up may do. */
void join_give_up(const char *why);

/* lane-streams.c: streams */
void lanes_dial(Member *m);
void lanes_stranger(Stranger *s, const QDict *message);
/* Every tick: what takes too long is closed. */
void lanes_tick(int64_t now);

/* path.c */
/* All nodes are known: false if no way suits them, which was said. */
bool path_decide(void);
bool path_uses_streams(void);

#endif
