/*
 * The simulator's insides: sim.c has clock, vCPUs and rights to pages,
 * sim-node.c nodes of the core and their network, lane-node.c nodes made of
 * lanes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "accel/distkvm/engine/hold.h"
#include "sim.h"

enum { SIM_NONE, SIM_RO, SIM_RW };

typedef enum {
    SIM_NEXT,       /* the vCPU of @node looks for something to do          */
    SIM_ACCESS,     /* it does it                                           */
    SIM_OWN,        /* the first of the ops' own kinds                      */
} SimKind;

typedef struct SimEvent {
    int64_t at_ns;
    uint64_t seq;
    unsigned kind;          /* SimKind, or the ops' own                     */
    CohNodeId node;
    uint8_t lane;           /* lane nodes */
    bool held;              /* was held back before */
    uint32_t version;       /* of the data it carries */
    CohEvent ev;
    struct SimBunch *bunch; /* lane nodes: of frames */
} SimEvent;

typedef struct SimNode {
    CohNode node;
    uint8_t *mem;           /* of each page */
    uint32_t *version;      /* of each page, as of the copy held here */
    GHashTable *kept;       /* page -> version */
    GHashTable *stalled;    /* page -> GQueue of SimEvent */
    Hold hold;
    SimAccess access;
    bool operate_here;      /* no other node can: when the page has come */
    bool busy, lost;
    bool failed;            /* it knows that a node is lost: its vCPU stops */
    int64_t fault_ns;       /* since when it waits; 0: it does not */
    int64_t waited_ns;      /* for all its accesses so far                  */
    int64_t free_ns;        /* when it has handled all that has come so far */
    uint64_t turn;
    unsigned foreign;       /* pages of other homes held here */
    CohPage hand;           /* where to look for something to evict */
    struct SimLanes *lanes; /* lane nodes */
    uint8_t *bytes;         /* lane nodes: that the access puts; NULL: none */
} SimNode;

struct Sim {
    const SimConfig *config;
    ClusterMap *map;
    SimNode *node;
    uint32_t *latest;       /* version of each page; 0: untouched */
    uint8_t *bytes;         /* lane nodes: that these versions have */
    uint16_t *readers, *writers;
    GArray *heap;
    uint64_t seq, random;
    int64_t now_ns;
    bool ending;
    GQueue split;           /* SimNode, for misaligned LOCKs; the first has */
                            /* the split-lock token                         */
    uint64_t operated, answered;    /* operations */
    SimResult result;
};

struct SimNodeOps {
    /* Make @n, which is zero; its tables of pages are there. */
    void (*init)(Sim *sim, SimNode *n, CohNodeId id);
    void (*free)(SimNode *n);
    /* The vCPU of @n waits until @n->access is possible. */
    void (*fault)(Sim *sim, SimNode *n);
    /* The misaligned LOCK of @n->access begins; NULL: it writes instead. */
    void (*split)(Sim *sim, SimNode *n);
    /*
     * @n->access is possible, and part of a misaligned LOCK, which goes on.
     */
    void (*split_ready)(Sim *sim, SimNode *n);
    /* The last node is lost; NULL: the others only stop, at once. */
    void (*lose)(Sim *sim);
    /* It has written a page, whose version is new; NULL: nothing to do. */
    void (*wrote)(SimNode *n, CohPage page);
    /* An event of the ops' own kinds. */
    void (*happen)(Sim *sim, SimNode *n, const SimEvent *event);
    /* Add @n's own counts, at the end of the run; NULL: none. */
    void (*count)(SimNode *n, SimResult *result);
    /* It operates on words; else it writes instead. */
    bool operates;
};

void sim_violated(Sim *sim, const char *what);
void sim_schedule(Sim *sim, SimEvent event);
void sim_try_access(Sim *sim, SimNode *n);
/* @n's vCPU loads a word of @page, or stores it. */
void sim_touch(Sim *sim, SimNode *n, CohPage page, bool write);
/* The access that @n waits for, or did at once, is over. */
void sim_access_done(Sim *sim, SimNode *n);
/* @n's right to @page is @mem, SIM_NONE, _RO or _RW, from now on. */
void sim_set_mem(Sim *sim, SimNode *n, CohPage page, uint8_t mem);

#endif
