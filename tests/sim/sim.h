/*
 * A cluster in a virtual clock
 *
 * Runs the real coh_step() of many nodes over a modelled network: seeded, so
 * that a run can be repeated exactly.  vCPUs take accesses from a workload;
 * every copy carries the version of what it holds, and every access checks
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

#include "coh-node.h"

#define SIM_LATENCIES 128   /* four for every power of two */

typedef struct Sim Sim;
typedef struct SimAccess {
    CohPage page;
    bool write;
    bool operate;           /* on a word where the page is, not here        */
    int64_t think_ns;       /* before the access                            */
    bool none;              /* it has done all that it was to do            */
} SimAccess;

typedef struct SimWorkload {
    const char *name;
    /* What the vCPU of @node does next. */
    void (*next)(Sim *sim, CohNodeId node, SimAccess *access);
} SimWorkload;

typedef struct SimConfig {
    unsigned nodes;         /* 2 to COH_NODES_MAX                           */
    unsigned pages;
    const SimWorkload *workload;
    uint64_t seed;
    uint64_t events;        /* end after so many                            */
    unsigned cap_pages;     /* foreign pages a node keeps; 0: any number    */
    int64_t hold_ns;
    int64_t wire_ns;        /* one way, without the page                    */
    int64_t page_ns;        /* more for a page                              */
    int64_t handle_ns;      /* a node's time for one event                  */
    unsigned slow_node;     /* its events take tenfold; 0: none             */
    uint64_t lose_at;       /* lose the last node at this event; 0: never   */
    FILE *trace;            /* a line for every step, or NULL               */
} SimConfig;

typedef struct SimResult {
    /* An operation counts as a fault: its vCPU waits for the answer. */
    uint64_t events, accesses, faults, messages, bytes, evictions;
    uint64_t by_type[COH_EV__MAX];
    int64_t end_ns, fault_ns;           /* sum over faults                  */
    uint64_t latency[SIM_LATENCIES];
    const char *violation;              /* NULL: none                       */
} SimResult;

void sim_defaults(SimConfig *config);
SimResult sim_run(const SimConfig *config);
/* Upper bound of the latency that @share (0 to 1) of all faults kept to. */
int64_t sim_latency_ns(const SimResult *result, double share);

/* For workloads. */
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

#endif
