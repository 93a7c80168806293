/*
 * distkvm: a lane is a list of parts
 *
 * One thread that serves the pages of its lane (memory/lanes.h).  Each part
 * has a struct, a header and a file of its own (lane-part.h) and is given
 * pointers to the parts it uses, which are those below it:
 *
 *   connect, mailbox > inbox > request > fault > prefetch > evict, deliver
 *   > executor > late, stalled, waiters, wakeup, preprotect, codec, outbox
 *
 * Nothing calls upwards but the executor, by hooks (page-hooks.h).  The table
 * of parts in lane.c is also the order of a pass.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LANE_H
#define DISTKVM_LANE_H

#include "connect.h"
#include "mailbox.h"

/* Tables of all lanes, of which each uses the entries of its own pages. */
typedef struct LaneTables {
    CohNode node;
    uint16_t *page_faults;      /* heat.h */
    uint8_t *evict_flags;       /* evict.h */
    CensusCounts *census;       /* census.h */
} LaneTables;

struct Lane {
    LaneCtx ctx;
    Affinity affinity;
    Alive alive;
    Codec codec;
    Connect connect;
    Deliver deliver;
    Evict evict;
    Executor executor;
    Faults faults;
    FrameCount frames;          /* of class B: they pass lane 0 */
    Heat heat;
    Hold hold;
    Inbox inbox;
    Late late;
    Mailbox mailbox;
    Outbox outbox;
    Pagewalk pagewalk;
    Prefetch prefetch;
    Prejoin prejoin;
    Preprotect preprotect;
    Requests requests;
    Stalled stalled;
    Waiters waiters;
    Wakeup wakeup;
    QemuThread thread;
    bool stop;                  /* atomic */
};

/*
 * Lane number @number of the node that @ctx describes.  @tables must stay.  It
 * has no transport yet, and no thread.
 */
Lane *lane_new(const LaneCtx *ctx, LaneTables *tables);
/* Begin its thread; it must have a transport. */
void lane_start(Lane *lane);
/* End its thread, and wait for that. */
void lane_end(Lane *lane);
void lane_free(Lane *lane);
/*
 * One pass of the thread; true if there was anything to do.  That thread, or a
 * simulator in its place.
 */
bool lane_run(Lane *lane);
/* When the next pass is due, in ns of get_clock(), or INT64_MAX.  The same. */
int64_t lane_due_ns(Lane *lane);
/* A node is lost: LANE_FAILED.  The lane's thread. */
void lane_fail(Lane *lane);

#endif
