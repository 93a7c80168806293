/*
 * The cost of writing a page that many have read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim.h"

#define ROUNDS 1000
/* Node 0 is home of page 0, as every node is of one page. */
#define PAGE 0
/* More than the messages that follow each other in serving one read. */
#define READ_TRIPS 10

/*
 * Longer than all nodes take to read, or one to write, and than a hold of what
 * they fetched: readers of a page are served one after another, and each may
 * have to wait for a hold.
 */
static int64_t phase_ns(const SimConfig *c)
{
    int64_t trip = c->wire_ns + c->page_ns + c->handle_ns + c->apart_ns;

    return (c->nodes + 1) * (c->hold_ns + READ_TRIPS * trip);
}

/* A phase of reading, a phase of writing; nodes before @first do nothing. */
static void next_upgrade(Sim *sim, CohNodeId node, SimAccess *a,
                         CohNodeId first, CohNodeId writer)
{
    uint64_t turn = sim_turn(sim, node);
    uint64_t phase = node == writer ? turn : 2 * turn;
    int64_t start_ns = (phase + 1) * phase_ns(sim_config(sim));

    a->none = node < first || phase >= 2 * ROUNDS;
    a->page = PAGE;
    a->write = phase & 1;
    a->think_ns = MAX(start_ns - sim_now_ns(sim), 0);
}

static void next_home_writes(Sim *sim, CohNodeId node, SimAccess *a)
{
    next_upgrade(sim, node, a, 0, 0);
}

static void next_home_elsewhere(Sim *sim, CohNodeId node, SimAccess *a)
{
    next_upgrade(sim, node, a, 1, 1);
}

static void next_home_shares(Sim *sim, CohNodeId node, SimAccess *a)
{
    next_upgrade(sim, node, a, 0, 1);
}

static const SimWorkload roles[] = {
    [SIM_HOME_WRITES] = { "home writes", next_home_writes },
    [SIM_HOME_ELSEWHERE] = { "home elsewhere", next_home_elsewhere },
    [SIM_HOME_SHARES] = { "home shares", next_home_shares },
};

G_STATIC_ASSERT(G_N_ELEMENTS(roles) == SIM_HOME__MAX);

const char *sim_home_role_name(SimHomeRole role)
{
    return roles[role].name;
}

SimResult sim_upgrades(const SimConfig *model, unsigned sharers,
                       SimHomeRole role)
{
    SimConfig c = *model;
    SimResult r;

    /* With the writer; the home comes on top if it has no copy. */
    c.nodes = sharers + 1 + (role == SIM_HOME_ELSEWHERE);
    c.pages = c.nodes;
    c.workload = &roles[role];
    c.events = SIM_EVENTS_PER_ACCESS((uint64_t)c.nodes) * ROUNDS *
               (c.nodes + 1);
    r = sim_run(&c);
    /*
     * Each write found all sharers, and needed no bytes.  Acknowledgements to
     * the writer are messages, for any home: no sharer is the writer.
     */
    if (!r.violation && (r.write_faults != ROUNDS ||
                         r.by_type[COH_EV_ACK] != ROUNDS * sharers ||
                         r.by_type[COH_EV_DATA_M])) {
        r.violation = "a write is not an upgrade among all sharers";
    }
    return r;
}

double sim_write_us(const SimResult *r)
{
    return r->write_faults ? r->write_ns / 1000.0 / r->write_faults : 0;
}
