/*
 * The simulator's nodes, made of lanes of the engine
 *
 * For lane-node.c, lane-split.c, lane-loss.c and lane-world.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LANE_NODE_H
#define LANE_NODE_H

#include "accel/distkvm/engine/lane.h"
#include "lane-world.h"

/* How far a vCPU's misaligned LOCK is. */
typedef enum SplitPhase {
    SPLIT_NONE,
    SPLIT_WAITS,            /* for the split-lock token                     */
    SPLIT_PINS,             /* until all lanes keep what this node owns     */
    SPLIT_FIRST,            /* touches its first page,                      */
    SPLIT_SECOND,           /* and its second one                           */
    SPLIT_STEPS,            /* between load and store                       */
    SPLIT_UNPINS,           /* until no lane does                           */
} SplitPhase;

typedef struct SimLane {
    Lane *lane;
    bool fails;             /* in its next pass: a node is lost             */
    int64_t free_ns;        /* when the last pass is over                   */
    int64_t pass_ns;        /* when the next one begins; INT64_MAX: never   */
} SimLane;

typedef struct SimLanes {
    EngineConfig config;
    LaneTables tables;
    Mem *mem;
    Request operation;      /* of the vCPU                                  */
    RequestGroup group;     /* that is this alone                           */
    uint8_t bytes[COH_PAGE_SIZE];   /* that it moves                        */
    GPtrArray *could_get;   /* bytes there while it is under way, if a get  */
    bool asks;              /* it is to be added in the next pass           */
    bool awaits;            /* it was                                       */
    bool poisoned;          /* the page that the vCPU waits for is lost     */
    SplitPhase split;
    CohPage split_page;     /* the first                                    */
    unsigned split_lanes;   /* a bit for each that has not done it yet      */
    uint32_t split_version[2];  /* of both pages, as loaded                 */
    SimLane lane[LANES_MAX];
} SimLanes;

static inline SimLane *lane_at(SimNode *n, CohPage page)
{
    return &n->lanes->lane[lane_of(&n->lanes->config.lanes, page)];
}

/* Has the lane of @page failed on @n? */
static inline bool lane_has_failed(SimNode *n, CohPage page)
{
    return lane_at(n, page)->lane->ctx.phase == LANE_FAILED;
}

/* The thread of lane @number runs at @at_ns, or as soon as it can. */
void lane_want_pass(Sim *sim, SimNode *n, unsigned number, int64_t at_ns);
/* The same of all lanes, at once. */
void lane_want_passes(Sim *sim, SimNode *n);
/* The vCPU of @n tries its access again. */
void lane_retry(Sim *sim, SimNode *n);

/* The bytes of @page are others now: gets that are under way may get these. */
void lane_changed(Sim *sim, CohPage page);

/* SimNodeOps.split, .split_ready. */
void lane_split_begin(Sim *sim, SimNode *n);
void lane_split_ready(Sim *sim, SimNode *n);
/* A pass of lane @number: orders of the vCPU are obeyed. */
void lane_split_pass(Sim *sim, SimNode *n, unsigned number);
/* SIM_STORE. */
void lane_split_store(Sim *sim, SimNode *n);
/* Is @page one that @n must own until its LOCK is done? */
bool lane_split_keeps(const SimNode *n, CohPage page);

/* SimNodeOps.lose. */
void lane_loss(Sim *sim);
/* SIM_FAIL. */
void lane_loss_heard(Sim *sim, SimNode *n);
/* The vCPU of @n, which has failed, was woken. */
void lane_loss_retry(Sim *sim, SimNode *n);

#endif
