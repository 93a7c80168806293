/*
 * distkvm: the state that all parts of a lane share
 *
 * A lane of pages (memory/lanes.h) is a list of parts; lane.c holds the list.
 * A part owns its struct, has a header and a file of its own, and is given
 * pointers to the parts below it.  What all of them need is here, and nothing
 * that is one part's own.  Everything is the lane's thread's; no locks.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LANE_CTX_H
#define DISTKVM_LANE_CTX_H

#include "qemu/atomic.h"
#include "accel/distkvm/memory/mem.h"
#include "accel/distkvm/wire/transport.h"
#include "config.h"

typedef enum LanePhase {
    LANE_ALONE,             /* pages of other homes cannot be asked for     */
    LANE_JOINED,            /* all peers are connected                      */
    LANE_FAILED,            /* a node is lost: no node is asked or served    */
} LanePhase;

/* Pages that a misaligned LOCK touches at most. */
#define LOCK_PAGES 2

typedef struct LaneCtx {
    const EngineConfig *config;     /* of all lanes, constant               */
    unsigned lane;
    CohNode *node;                  /* tables of all lanes; own pages only  */
    Mem *mem;
    Transport *transport;           /* to this lane of all peers            */
    const EngineListener *host;
    void *opaque;                   /* of @host                             */
    EngineStats stats;              /* written by this lane only; atomic    */
    GQueue events;                  /* CohEvent that this node sent itself  */
    LanePhase phase;
    bool pinned;                    /* owned pages stay (engine_pin())      */
    CohPage locked[LOCK_PAGES];     /* of the LOCK, while pinned            */
    bool faults_pending;            /* the userfaultfd may have some        */
} LaneCtx;

#define STAT_ADD(ctx, field, n) \
    qatomic_set(&(ctx)->stats.field, (ctx)->stats.field + (n))

/* Does a peer in @state wait for other nodes? */
static inline bool lane_is_fetching(uint8_t state)
{
    return state >= COH_PEER_IS_D && state <= COH_PEER_IF_AD;
}

/*
 * Is a message of @type from a page's home to its holders?  The requester, a
 * third node, waits for their answer.
 */
static inline bool lane_is_for_holder(uint8_t type)
{
    return type == COH_EV_INV || type == COH_EV_FWD_GETS ||
           type == COH_EV_FWD_GETM || type == COH_EV_FWD_GETV;
}

void lane_ctx_init(LaneCtx *ctx);
void lane_ctx_free(LaneCtx *ctx);
/* LANE_FAILED from now on: events under way lead to nothing. */
void lane_ctx_fail(LaneCtx *ctx);

/* Is @page one of this lane's? */
bool lane_owns(const LaneCtx *ctx, CohPage page);
/* Pages of coherent RAM, of all lanes. */
CohPage lane_page_end(const LaneCtx *ctx);
/* Is this node home of @page, which no node has touched? */
bool lane_is_untouched(const LaneCtx *ctx, CohPage page);
/* Is @page between load and store of a misaligned LOCK of this node? */
bool lane_is_locked(const LaneCtx *ctx, CohPage page);
/* The directory entry of @page; NULL if another node is its home. */
const CohHome *lane_directory(const LaneCtx *ctx, CohPage page);

/* How often the guest has been reset. */
uint32_t lane_epoch(const LaneCtx *ctx);
/* Has the guest been reset since @epoch, the number of its resets, was read? */
bool lane_is_too_old(const LaneCtx *ctx, uint32_t epoch);

/* A copy of @ev with its bytes; g_free. */
CohEvent *lane_event_copy(const CohEvent *ev);
/* Step the protocol by a copy of @ev, later in this pass. */
void lane_submit(LaneCtx *ctx, const CohEvent *ev);
/* This node cannot go on, because of @why. */
void lane_break(LaneCtx *ctx, const char *why);
/* @peer is to be expelled, because of @why. */
void lane_lose(LaneCtx *ctx, CohNodeId peer, const char *why);
/*
 * In LANE_FAILED: a thread that waits for @page goes on if its access is
 * possible with the bytes that are here, else it is told that the page is
 * lost.
 */
void lane_release(LaneCtx *ctx, CohPage page);

#endif
