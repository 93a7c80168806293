/*
 * Misaligned LOCKs of simulated nodes: the split-lock token and pins
 *
 * As vmi/split-lock.c and vmi/tcg-lock.c: one node at a time has the split-lock
 * token; its lanes keep the pages that it owns from the first touch to the
 * store.  The store comes some time after the load, so another node's store
 * between them would be seen.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "lane-node.h"

/* From the load to the store. */
#define STEP_NS 2000

static CohPage second_page(const Sim *sim, CohPage first)
{
    return (first + 1) % sim->config->pages;
}

static void order_lanes(Sim *sim, SimNode *n, SplitPhase phase)
{
    n->lanes->split = phase;
    n->lanes->split_lanes = (1u << n->lanes->config.lanes.n) - 1;
    lane_want_passes(sim, n);
}

static void grant(Sim *sim)
{
    SimNode *n = g_queue_peek_head(&sim->split);

    if (n) {
        order_lanes(sim, n, SPLIT_PINS);
    }
}

void lane_split_begin(Sim *sim, SimNode *n)
{
    n->access.write = true;
    n->fault_ns = MAX(sim->now_ns, 1);
    n->lanes->split = SPLIT_WAITS;
    g_queue_push_tail(&sim->split, n);
    if (g_queue_peek_head(&sim->split) == n) {
        grant(sim);
    }
}

bool lane_split_keeps(const SimNode *n, CohPage page)
{
    const SimLanes *l = n->lanes;

    return (l->split == SPLIT_SECOND && page == l->split_page) ||
           (l->split == SPLIT_STEPS && (page == l->split_page ||
                                        page == n->access.page));
}

static void load(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;

    sim_touch(sim, n, l->split_page, false);
    sim_touch(sim, n, n->access.page, false);
    l->split_version[0] = sim->latest[l->split_page];
    l->split_version[1] = sim->latest[n->access.page];
    l->split = SPLIT_STEPS;
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns + STEP_NS, .kind = SIM_STORE, .node = n->node.id,
    });
}

void lane_split_ready(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;

    if (l->split == SPLIT_FIRST) {
        l->split_page = n->access.page;
        n->access.page = second_page(sim, l->split_page);
        l->split = SPLIT_SECOND;
        sim_try_access(sim, n);
    } else if (l->split == SPLIT_SECOND) {
        load(sim, n);
    }
}

void lane_split_store(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;

    if (l->split != SPLIT_STEPS) {
        return;
    }
    if (l->split_version[0] != sim->latest[l->split_page] ||
        l->split_version[1] != sim->latest[n->access.page]) {
        sim_violated(sim, "a store between load and store of a LOCK");
    }
    sim_touch(sim, n, l->split_page, true);
    sim_touch(sim, n, n->access.page, true);
    order_lanes(sim, n, SPLIT_UNPINS);
}

static void obeyed(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;

    if (l->split == SPLIT_PINS) {
        l->split = SPLIT_FIRST;
        lane_retry(sim, n);
        return;
    }
    l->split = SPLIT_NONE;
    g_queue_pop_head(&sim->split);
    grant(sim);
    sim->result.split_locks++;
    sim_access_done(sim, n);
}

void lane_split_pass(Sim *sim, SimNode *n, unsigned number)
{
    SimLanes *l = n->lanes;
    Lane *lane = l->lane[number].lane;

    if ((l->split != SPLIT_PINS && l->split != SPLIT_UNPINS) ||
        !(l->split_lanes & (1u << number))) {
        return;
    }
    lane->ctx.pinned = l->split == SPLIT_PINS;
    if (lane->ctx.pinned) {
        lane->ctx.locked[0] = n->access.page;
        lane->ctx.locked[1] = second_page(sim, n->access.page);
    } else {
        requests_unpinned(&lane->requests);
    }
    l->split_lanes &= ~(1u << number);
    if (!l->split_lanes) {
        obeyed(sim, n);
    }
}
