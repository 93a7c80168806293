/*
 * The simulator's insides: sim.c has clock, network and vCPUs, sim-node.c the
 * nodes with their memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "accel/distkvm/engine/hold.h"
#include "sim.h"

enum { SIM_NONE, SIM_RO, SIM_RW };

typedef enum {
    SIM_STEP,       /* @ev comes to @node                                   */
    SIM_NEXT,       /* the vCPU of @node looks for something to do          */
    SIM_ACCESS,     /* it does it                                           */
} SimKind;

typedef struct SimEvent {
    int64_t at_ns;
    uint64_t seq;
    SimKind kind;
    CohNodeId node;
    bool held;              /* was held back before */
    uint32_t version;       /* of the data it carries */
    CohEvent ev;
} SimEvent;

typedef struct SimNode {
    CohNode node;
    uint8_t *mem;           /* of each page */
    uint32_t *version;      /* of each page, as of the copy held here */
    GHashTable *kept;       /* page -> version */
    GHashTable *stalled;    /* page -> GQueue of SimEvent */
    Hold hold;
    SimAccess access;
    bool operate_here;      /* nobody else can: when the page has come */
    bool busy, lost;
    int64_t fault_ns;       /* since when it waits; 0: it does not */
    int64_t free_ns;        /* when it has handled what it got so far */
    uint64_t turn;
    unsigned foreign;       /* pages of other homes held here */
    CohPage hand;           /* where to look for something to evict */
} SimNode;

struct Sim {
    const SimConfig *config;
    ClusterMap *map;
    SimNode *node;
    uint32_t *latest;       /* version of each page; 0: untouched */
    uint16_t *readers, *writers;
    GArray *heap;
    uint64_t seq, random;
    int64_t now_ns;
    bool ending;
    uint64_t operated, answered;    /* operations */
    SimResult result;
};

Sim *sim_new(const SimConfig *config);
void sim_free(Sim *sim);
void sim_violated(Sim *sim, const char *what);
void sim_schedule(Sim *sim, SimEvent event);
void sim_send(Sim *sim, CohNodeId from, CohPage page, const CohDo *d,
              uint32_t version);
void sim_try_access(Sim *sim, SimNode *n);
/* The access that @n waits for, or did at once, is over. */
void sim_access_done(Sim *sim, SimNode *n);
void sim_step(Sim *sim, SimNode *n, const SimEvent *event);
void sim_check_end(Sim *sim);

#endif
