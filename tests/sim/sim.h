/*
 * A cluster in a virtual clock
 *
 * Runs the real coh_step() of many nodes over a modelled network: seeded, so
 * that a run can be repeated exactly.  vCPUs take accesses from a workload;
 * every copy carries the version of its contents, and every access checks
 * that it sees the latest.  An operation on a word makes a version where the
 * page is owned.  At the end nothing is under way, each directory is what the
 * nodes hold, and each operation was done once.
 *
 * Times are nanoseconds of the virtual clock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SIM_H
#define SIM_H

#include "accel/distkvm/core/coh-node.h"

#define SIM_LATENCIES 128   /* four for every power of two */

typedef struct Sim Sim;
typedef struct SimAccess {
    CohPage page;
    bool write;
    bool operate;           /* on a word where the page is, not here        */
    /* An operation that moves bytes: lane nodes; others take a word.       */
    bool put;               /* into the page, not from it                   */
    uint16_t offset, length;    /* in bytes; a length of 0: a word          */
    bool split;             /* misaligned LOCK: of this page and the next   */
    int64_t think_ns;       /* before the access                            */
    bool none;              /* it has done all that it was to do            */
} SimAccess;

typedef struct SimWorkload {
    const char *name;
    /* Fill in the next access of the vCPU of @node. */
    void (*next)(Sim *sim, CohNodeId node, SimAccess *access);
} SimWorkload;

/* Operations of a kind of node; sim-internal.h. */
typedef struct SimNodeOps SimNodeOps;

/* The core of the protocol, around it a model of the engine. */
extern const SimNodeOps sim_core_nodes;
/* Lanes of the engine with all their parts. */
extern const SimNodeOps sim_lane_nodes;

typedef struct SimConfig {
    const SimNodeOps *ops;
    unsigned nodes;         /* 2 to COH_NODES_MAX                           */
    unsigned pages;
    unsigned stretch_bits;  /* of a page number; 0: any page any home       */
    const SimWorkload *workload;
    uint64_t seed;
    uint64_t events;        /* the run ends after these                     */
    unsigned cap_pages;     /* foreign pages a node keeps; 0: any number    */
    /* Lane nodes: another cap comes once in so many passes; 0: never. */
    unsigned recap;
    /* The same, as EngineConfig has them. */
    unsigned readahead, delta_pages;
    bool walks_write;
    bool companions;
    unsigned lanes;         /* of each node; they take turns after stretches */
    int64_t hold_ns;
    int64_t overdue_ns;     /* lane nodes: limit of requests_look(); 0: none */
    int64_t wire_ns;        /* one way, without the page                    */
    int64_t page_ns;        /* more for a page                              */
    int64_t handle_ns;      /* a node's time for one event                  */
    int64_t apart_ns;       /* between the INVs of one step; 0: at once     */
    unsigned slow_node;     /* its events take tenfold; 0: none             */
    uint64_t lose_at;       /* lose the last node at this event; 0: never   */
    bool breaks;            /* lane nodes: it breaks, and does not vanish   */
    FILE *trace;            /* a line for every step, or NULL               */
} SimConfig;

typedef struct SimResult {
    /* An operation counts as a fault: its vCPU waits for the answer. */
    uint64_t events, accesses, faults, messages, bytes, evictions;
    uint64_t by_type[COH_EV__MAX];
    int64_t end_ns, fault_ns;           /* sum over faults                  */
    uint64_t split_locks;               /* misaligned LOCKs                 */
    uint64_t write_faults;              /* of them, without operations      */
    int64_t write_ns;                   /* sum over these                   */
    uint64_t latency[SIM_LATENCIES];
    const char *violation;              /* NULL: none                       */
} SimResult;

void sim_defaults(SimConfig *config);
SimResult sim_run(const SimConfig *config);
/* Upper bound of the latency that @share (0 to 1) of all faults kept to. */
int64_t sim_latency_ns(const SimResult *result, double share);

/*
 * More than one access takes: fault, request and answer, each handled after it
 * has come; an invalidation of every node, held back, and its acknowledgement.
 */
#define SIM_EVENTS_PER_ACCESS(nodes) (20 + 6 * (nodes))

/* For workloads. */
int64_t sim_now_ns(const Sim *sim);
uint64_t sim_random(Sim *sim, uint64_t below);
const SimConfig *sim_config(const Sim *sim);
/* Counts this node's calls, from 0. */
uint64_t sim_turn(Sim *sim, CohNodeId node);

const SimWorkload *sim_workload(const char *name);
/* In order of the documentation; NULL after the last. */
const SimWorkload *sim_workload_nth(unsigned n);
/*
 * Make @config one that goes through "node page r|w" lines once: its workload,
 * as many nodes and pages as they name, and events enough.  False if there is
 * no such line.
 */
bool sim_load_trace(const char *path, SimConfig *config);

/* The part of a page's home while others share and write it. */
typedef enum {
    SIM_HOME_WRITES,    /* it is the sharer that writes                     */
    SIM_HOME_ELSEWHERE, /* it has no copy                                   */
    SIM_HOME_SHARES,    /* it is one of the other sharers                   */
    SIM_HOME__MAX
} SimHomeRole;

const char *sim_home_role_name(SimHomeRole role);
/*
 * Many times, @sharers nodes (at most COH_NODES_MAX - 2) and one more read a
 * page, and when all is quiet that one writes it.  Network, hold and seed are
 * those of @model.  It is a violation if a write is not an upgrade that all
 * @sharers acknowledge.
 */
SimResult sim_upgrades(const SimConfig *model, unsigned sharers,
                       SimHomeRole role);
/* Of all writes that did not succeed at once, on average. */
double sim_write_us(const SimResult *result);

#endif
