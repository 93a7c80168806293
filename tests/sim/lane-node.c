/*
 * The simulator's nodes, made of a whole lane of the engine
 *
 * Every part of the lane is the one that QEMU runs: delayed requests, eviction,
 * prefetches, batches, snapshots.  Its thread runs when a bunch has come, its
 * vCPU has faulted, or something is due; a pass takes a node's time for each
 * frame and each fault.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/lane.h"
#include "lane-world.h"

typedef struct SimLane {
    EngineConfig config;
    LaneTables tables;
    Mem *mem;
    Lane *lane;
    Request operation;      /* of the vCPU                                  */
    bool asks;              /* it is to be added in the next pass           */
    bool awaits;            /* it was                                       */
    int64_t free_ns;        /* when the last pass is over                   */
    int64_t pass_ns;        /* when the next one begins; INT64_MAX: never   */
} SimLane;

static SimTransport *transport_of(const SimLane *l)
{
    return (SimTransport *)l->lane->ctx.transport;
}

/* ---------------------------------------------------------------- passes */

static void want_pass(Sim *sim, SimNode *n, int64_t at_ns)
{
    SimLane *l = n->lane;

    at_ns = MAX(MAX(at_ns, l->free_ns), sim->now_ns);
    if (at_ns < l->pass_ns) {
        l->pass_ns = at_ns;
        sim_schedule(sim, (SimEvent) {
            .at_ns = at_ns, .kind = SIM_PASS, .node = n->node.id,
        });
    }
}

/* The operation is for the next version: a word is added to where it is. */
static void ask(SimNode *n)
{
    SimLane *l = n->lane;

    l->operation = (Request) {
        .kind = REQUEST_OPERATE, .page = n->access.page, .write = true,
        .op = { .code = COH_OP_ADD, .size = 8, .operand = 1 },
        .tid = n->node.id + 1,
    };
    qemu_sem_init(&l->operation.done, 0);
    l->asks = false;
    l->awaits = true;
    requests_add(&l->lane->requests, &l->operation);
}

static void look_for_answer(Sim *sim, SimNode *n)
{
    SimLane *l = n->lane;

    if (!l->awaits || !l->operation.done.count) {
        return;
    }
    if (l->operation.result) {
        sim_violated(sim, "an operation fails, and no node is lost");
    }
    qemu_sem_destroy(&l->operation.done);
    l->awaits = false;
    sim->answered++;
    sim_access_done(sim, n);
}

/* Evictions of a node above its cap are due for ever: the end ignores them. */
static bool is_waited_for(const SimLane *l)
{
    return l->awaits || waiters_count(&l->lane->waiters) ||
           waiters_has_deferred(&l->lane->waiters) ||
           deliver_has_delayed(&l->lane->deliver);
}

static void pass(Sim *sim, SimNode *n)
{
    SimLane *l = n->lane;
    unsigned faults = l->mem->faults->len + l->asks;
    int64_t slow = sim->config->slow_node == n->node.id && n->node.id ? 10 : 1;
    int64_t due_ns;
    bool any;

    l->pass_ns = INT64_MAX;
    transport_of(l)->taken = 0;
    if (l->asks) {
        ask(n);
    }
    faults_polled(&l->lane->faults, l->mem->faults->len);
    any = lane_run(l->lane);
    l->free_ns = sim->now_ns + (transport_of(l)->taken + faults) * slow *
                 sim->config->handle_ns;
    look_for_answer(sim, n);
    due_ns = lane_due_ns(l->lane);
    if (any || l->mem->faults->len) {
        want_pass(sim, n, l->free_ns);
    } else if (due_ns != INT64_MAX && (!sim->ending || is_waited_for(l))) {
        want_pass(sim, n, due_ns);
    }
}

/* ------------------------------------------------------------------- ops */

static void make_tables(LaneTables *t, const EngineConfig *config)
{
    const ClusterMap *map = config->map;

    t->node = (CohNode) {
        .id = config->id, .map = map,
        .peer = g_malloc0(coh_node_peer_bytes(map)),
    };
    coh_node_set_homes(&t->node, g_malloc(coh_node_index_bytes(map)),
                       g_malloc0(coh_node_home_bytes(map, config->id)));
    t->page_faults = g_new0(uint16_t, map->pages);
    t->evict_flags = g_malloc0(evict_flags_bytes(config));
}

static void lane_node_init(Sim *sim, SimNode *n, CohNodeId id)
{
    const SimConfig *c = sim->config;
    SimLane *l = n->lane = g_new0(SimLane, 1);
    LaneCtx ctx = { .config = &l->config, .host = &lane_host };

    lane_world_enter(sim);
    l->pass_ns = INT64_MAX;
    l->config = (EngineConfig) {
        .id = id, .map = sim->map, .hold_ns = c->hold_ns,
        .lanes = lanes_make(1, c->pages), .readahead = c->readahead,
        .delta_pages = c->delta_pages, .walks_write = c->walks_write,
        .cap_pages = c->cap_pages ? sim->map->share[id] + c->cap_pages : 0,
    };
    make_tables(&l->tables, &l->config);
    ctx.opaque = ctx.mem = l->mem = lane_mem_new(sim, n);
    l->lane = lane_new(&ctx, &l->tables);
    lane_transport_of(n);
    connect_set_transport(&l->lane->connect, lane_transport_new, NULL);
    l->lane->ctx.phase = LANE_JOINED;
    n->node = l->tables.node;
}

static void lane_node_free(SimNode *n)
{
    SimLane *l = n->lane;

    lane_free(l->lane);
    mem_free(l->mem);
    g_free(l->tables.node.peer);
    g_free(l->tables.node.home);
    g_free(l->tables.node.entries);
    g_free(l->tables.page_faults);
    g_free(l->tables.evict_flags);
    g_free(l);
}

static void lane_node_fault(Sim *sim, SimNode *n)
{
    SimLane *l = n->lane;
    MemFault fault = {
        .page = n->access.page, .write = n->access.write,
        .tid = n->node.id + 1,
    };

    if (n->access.operate) {
        l->asks = true;
    } else if (!l->mem->faults->len) {
        g_array_append_val(l->mem->faults, fault);
    }
    want_pass(sim, n, sim->now_ns);
}

static void lane_node_wrote(SimNode *n, CohPage page)
{
    lane_mem_wrote(n->lane->mem, page, n->version[page]);
}

static void lane_node_happen(Sim *sim, SimNode *n, const SimEvent *event)
{
    switch (event->kind) {
    case SIM_ARRIVE:
        g_queue_push_tail(&transport_of(n->lane)->arrived, event->bunch);
        want_pass(sim, n, sim->now_ns);
        break;
    case SIM_PASS:
        /* Another time: an earlier pass was wanted, and replaced this one. */
        if (event->at_ns == n->lane->pass_ns) {
            pass(sim, n);
        }
        break;
    case SIM_RETRY:
        if (n->busy && n->fault_ns && !n->access.operate &&
            n->access.page == event->ev.page) {
            sim_try_access(sim, n);
        }
        break;
    }
}

static void lane_node_count(SimNode *n, SimResult *result)
{
    const EngineStats *stats = &n->lane->lane->ctx.stats;

    result->evictions += stats->evictions_asked;
    for (unsigned type = 0; type < COH_EV__MAX; type++) {
        result->by_type[type] += stats->sent_by_type[type];
    }
}

const SimNodeOps sim_lane_nodes = {
    .init = lane_node_init,
    .free = lane_node_free,
    .fault = lane_node_fault,
    .wrote = lane_node_wrote,
    .happen = lane_node_happen,
    .count = lane_node_count,
    .operates = true,
};
