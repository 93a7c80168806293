/*
 * distkvm: the part of a lane that knows whether it and its peers go on
 *
 * A control connection may live while the data path is gone, and a process
 * while one of its threads hangs.  So liveness is that of frames, page-sized
 * and answered by the lane's thread.  Spec: docs/architecture.rst, "Loss of a
 * node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ALIVE_H
#define DISTKVM_ALIVE_H

#include "outbox.h"

typedef struct Alive {
    LaneCtx *ctx;
    Outbox *outbox;
    bool woken;                 /* the lane slept, a frame began this pass  */
    int64_t answered_ns[COH_NODES_MAX]; /* atomic; CLOCK_BOOTTIME           */
    bool reached[COH_NODES_MAX];        /* atomic                           */
    /* Of the thread that gives orders. */
    int64_t ordered_ns;         /* CLOCK_BOOTTIME; 0: no order was given    */
    int64_t limit_ns;           /* atomic                                   */
    bool taken_up;              /* atomic: the lane has begun the order     */
} Alive;

/* The frame that asks a peer for an answer; constant. */
const WireFrame *alive_question(void);
/* A frame of type WIRE_PING that has passed rules_frame(). */
void alive_frame(Alive *alive, const WireFrame *frame);
/* @peer has a new connection: it has not answered yet. */
void alive_connected(Alive *alive, CohNodeId peer);
/* When @peer last answered, in ns of CLOCK_BOOTTIME; 0: never.  Any thread. */
int64_t alive_answered_ns(const Alive *alive, CohNodeId peer);
/*
 * Has @peer answered since it is connected, woken from its sleep unless it
 * never sleeps?  Any thread.
 */
bool alive_is_reached(const Alive *alive, CohNodeId peer);

/*
 * The lane is given an order, to be done with @limit_ns.  False: it has not
 * begun the last one.  Of one thread only, as the next.
 */
bool alive_order(Alive *alive, int64_t limit_ns);
/* Has the lane not begun its order within @limit_ns? */
bool alive_hangs(const Alive *alive, int64_t limit_ns);
/* The lane begins its order: the limit given with it. */
int64_t alive_take_up(Alive *alive);

extern const LanePart alive_part;

#endif
