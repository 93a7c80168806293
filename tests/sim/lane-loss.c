/*
 * The loss of a simulated node, or of one whose lane breaks
 *
 * As engine_fail(): each other node hears of it at a time of its own, its vCPU
 * stops, its lanes fail in their next pass, and release it if it waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "lane-node.h"

/* Until the last node has heard of it. */
#define HEARD_NS 1000000

void lane_loss(Sim *sim)
{
    unsigned last = sim->config->nodes - 1;

    for (unsigned n = 0; n <= last; n++) {
        sim_schedule(sim, (SimEvent) {
            .at_ns = sim->now_ns + (n == last ? 0 : sim_random(sim, HEARD_NS)),
            .kind = SIM_FAIL, .node = n,
        });
    }
}

/* The vCPU stops, and waits for nothing. */
static void stop(SimNode *n)
{
    n->busy = false;
    n->fault_ns = 0;
    n->lanes->poisoned = false;
    n->lanes->split = SPLIT_NONE;
}

static bool all_have_heard(const Sim *sim)
{
    for (unsigned n = 0; n < sim->config->nodes; n++) {
        if (!sim->node[n].failed && !sim->node[n].lost) {
            return false;
        }
    }
    return true;
}

void lane_loss_heard(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;

    n->failed = true;
    sim->ending |= all_have_heard(sim);
    for (unsigned lane = 0; lane < l->config.lanes.n; lane++) {
        l->lane[lane].fails = true;
    }
    lane_want_passes(sim, n);
    if (!n->fault_ns || (l->split != SPLIT_NONE && l->split != SPLIT_FIRST &&
                         l->split != SPLIT_SECOND)) {
        /* It waits for no page: split_lock_take() and engine_pin() end. */
        stop(n);
    }
}

void lane_loss_retry(Sim *sim, SimNode *n)
{
    uint8_t mem = n->mem[n->access.page];

    if (n->lanes->poisoned || mem == SIM_RW ||
        (mem == SIM_RO && !n->access.write)) {
        stop(n);
    } else {
        sim_try_access(sim, n);
    }
}
