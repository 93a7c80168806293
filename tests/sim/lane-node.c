/*
 * The simulator's nodes, made of whole lanes of the engine
 *
 * Every part of a lane is the one that QEMU runs: delayed requests, eviction,
 * prefetches, batches, snapshots.  A lane's thread runs when a bunch has come,
 * the vCPU has faulted, or something is due; a pass takes a node's time for
 * each frame and each fault.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "lane-node.h"

static SimTransport *transport_of(const SimLane *l)
{
    return (SimTransport *)l->lane->ctx.transport;
}

/* ---------------------------------------------------------------- passes */

void lane_want_pass(Sim *sim, SimNode *n, unsigned number, int64_t at_ns)
{
    SimLane *l = &n->lanes->lane[number];

    at_ns = MAX(MAX(at_ns, l->free_ns), sim->now_ns);
    if (at_ns < l->pass_ns) {
        l->pass_ns = at_ns;
        sim_schedule(sim, (SimEvent) {
            .at_ns = at_ns, .kind = SIM_PASS, .node = n->node.id,
            .lane = number,
        });
    }
}

void lane_want_passes(Sim *sim, SimNode *n)
{
    for (unsigned lane = 0; lane < n->lanes->config.lanes.n; lane++) {
        lane_want_pass(sim, n, lane, sim->now_ns);
    }
}

/* ------------------------------------------------------------- operations */

static bool is_asked_of(const SimNode *n, unsigned number)
{
    return lane_of(&n->lanes->config.lanes, n->access.page) == number;
}

static bool is_get(const SimNode *n)
{
    return n->access.operate && n->access.length && !n->access.put;
}

/* The bytes that @n asks for, as of now. */
static void add_could_get(Sim *sim, SimNode *n)
{
    const SimAccess *a = &n->access;

    g_ptr_array_add(n->lanes->could_get,
                    g_memdup2(sim->bytes + (a->page << COH_PAGE_BITS) +
                              a->offset, a->length));
}

void lane_changed(Sim *sim, CohPage page)
{
    for (unsigned i = 0; i < sim->config->nodes; i++) {
        SimNode *n = &sim->node[i];

        if (n->access.page == page && n->lanes->awaits && is_get(n)) {
            add_could_get(sim, n);
        }
    }
}

/* Bytes that no other access puts there. */
static void fill(Sim *sim, SimNode *n)
{
    uint64_t tag = sim->seq << 8 | n->node.id;

    for (unsigned i = 0; i < COH_PAGE_SIZE; i += sizeof(tag)) {
        memcpy(n->lanes->bytes + i, &tag, sizeof(tag));
        tag += UINT64_C(1) << 56;
    }
    n->bytes = n->lanes->bytes;
}

/*
 * A whole page is put; the first word, which is the page's version elsewhere, is
 * none, and becomes the next one when the page has it (lane-world.c).
 */
static void put_whole(Sim *sim, SimNode *n)
{
    n->access.offset = 0;
    n->access.length = COH_PAGE_SIZE;
    n->lanes->operation.op.offset = 0;
    n->lanes->operation.op.length = COH_PAGE_SIZE;
    n->lanes->operation.fill = sim_random(sim, 2);
    n->lanes->bytes[sizeof(uint64_t) - 1] = 0xff;
}

/*
 * The operation is for the next version: a word is added to where it is.  Or it
 * moves bytes.
 */
static void ask(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;
    const SimAccess *a = &n->access;

    l->operation = (Request) {
        .kind = REQUEST_OPERATE, .page = a->page, .write = true,
        .op = { .code = COH_OP_ADD, .size = 8, .operand = 1 },
        .tid = n->node.id + 1,
    };
    if (a->length) {
        l->operation.write = a->put;
        l->operation.bytes = l->bytes;
        l->operation.op = (CohOp) {
            .code = a->put ? COH_OP_PUT_BYTES : COH_OP_GET_BYTES,
            .offset = a->offset, .length = a->length,
        };
    }
    if (is_get(n)) {
        g_ptr_array_set_size(l->could_get, 0);
        add_could_get(sim, n);
    }
    if (a->put) {
        fill(sim, n);
        if (a->offset == sizeof(uint64_t) && sim_random(sim, 2)) {
            put_whole(sim, n);
        }
    }
    l->operation.group = &l->group;
    request_group_init(&l->group, 1);
    l->asks = false;
    l->awaits = true;
    requests_add(&lane_at(n, a->page)->lane->requests, &l->operation);
}

/*
 * Were the bytes got that the page had at one moment between question and
 * answer?  Here an owner's lane gets them at one moment, and no word is torn.
 */
static bool got_all(const SimNode *n)
{
    const SimLanes *l = n->lanes;

    for (guint i = 0; i < l->could_get->len; i++) {
        if (!memcmp(l->bytes, l->could_get->pdata[i], n->access.length)) {
            return true;
        }
    }
    return false;
}

static void look_for_answer(Sim *sim, SimNode *n)
{
    static const bool hung;
    SimLanes *l = n->lanes;

    if (!l->awaits || !l->group.done.count) {
        return;
    }
    if (l->operation.result && !n->failed) {
        sim_violated(sim, "an operation fails, and no node is lost");
    }
    request_group_wait(&l->group, &hung);
    l->awaits = false;
    if (is_get(n)) {
        if (!l->operation.result && !got_all(n)) {
            sim_violated(sim, "bytes that were got are not the page's");
        }
    } else {
        sim->answered++;
    }
    sim_access_done(sim, n);
}

/* Evictions of a node above its cap are due for ever: the end ignores them. */
static bool is_waited_for(const SimNode *n, unsigned number)
{
    const Lane *lane = n->lanes->lane[number].lane;

    return (n->lanes->awaits && is_asked_of(n, number)) ||
           waiters_count(&lane->waiters) ||
           waiters_has_deferred(&lane->waiters) ||
           deliver_has_delayed(&lane->deliver);
}

/* So soon that answers come yet, as home and owner are honest here. */
static void look_for_overdue(Sim *sim, SimNode *n, unsigned number)
{
    int64_t limit_ns = sim->config->overdue_ns;

    if (limit_ns && is_get(n) && n->lanes->awaits && is_asked_of(n, number)) {
        requests_look(&n->lanes->lane[number].lane->requests, limit_ns);
        lane_want_pass(sim, n, number, sim->now_ns + limit_ns);
    }
}

/* Another cap and number of snapshots, or none, while the guest runs. */
static void set_cap(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;
    CohPage share = sim->map->share[n->node.id];
    uint64_t more = sim_random(sim, 300);
    unsigned snapshots = sim_random(sim, 3) * sim_random(sim, 100);

    for (unsigned lane = 0; lane < l->config.lanes.n; lane++) {
        evict_order_cap(&l->lane[lane].lane->evict, more ? share + more : 0);
        codec_order_snapshots(&l->lane[lane].lane->codec, snapshots);
    }
    lane_want_passes(sim, n);
}

static void pass(Sim *sim, SimNode *n, unsigned number)
{
    SimLane *l = &n->lanes->lane[number];
    GArray *faults = n->lanes->mem->faults[number];
    bool asks = n->lanes->asks && is_asked_of(n, number);
    unsigned taken = faults->len + asks;
    int64_t slow = sim->config->slow_node == n->node.id && n->node.id ? 10 : 1;
    int64_t due_ns;
    bool any;

    l->pass_ns = INT64_MAX;
    transport_of(l)->taken = 0;
    if (sim->config->recap && !sim_random(sim, sim->config->recap)) {
        set_cap(sim, n);
    }
    if (asks) {
        ask(sim, n);
    }
    lane_split_pass(sim, n, number);
    look_for_overdue(sim, n, number);
    if (l->fails) {
        lane_fail(l->lane);
    }
    faults_polled(&l->lane->faults, faults->len);
    any = lane_run(l->lane);
    l->free_ns = sim->now_ns + (transport_of(l)->taken + taken) * slow *
                 sim->config->handle_ns;
    look_for_answer(sim, n);
    due_ns = lane_due_ns(l->lane);
    if (any || faults->len) {
        lane_want_pass(sim, n, number, l->free_ns);
    } else if (due_ns != INT64_MAX &&
               (!sim->ending || is_waited_for(n, number))) {
        lane_want_pass(sim, n, number, due_ns);
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
    t->census = census_new(map);
}

static void make_lanes(Sim *sim, SimNode *n, unsigned count)
{
    SimLanes *l = n->lanes;
    LaneCtx ctx = {
        .config = &l->config, .host = &lane_host, .mem = l->mem,
        .opaque = l->mem,
    };

    for (ctx.lane = 0; ctx.lane < count; ctx.lane++) {
        Lane *lane = lane_new(&ctx, &l->tables);

        lane_transport_of(n, ctx.lane);
        connect_set_transport(&lane->connect, lane_transport_new, NULL);
        lane->ctx.phase = LANE_JOINED;
        l->lane[ctx.lane] = (SimLane) { .lane = lane, .pass_ns = INT64_MAX };
    }
}

static void lane_node_init(Sim *sim, SimNode *n, CohNodeId id)
{
    const SimConfig *c = sim->config;
    SimLanes *l = n->lanes = g_new0(SimLanes, 1);

    lane_world_enter(sim);
    l->config = (EngineConfig) {
        .id = id, .map = sim->map, .hold_ns = c->hold_ns,
        .lanes = { .n = MAX(c->lanes, 1), .bits = c->stretch_bits },
        .readahead = c->readahead,
        .delta_pages = c->delta_pages, .walks_write = c->walks_write,
        .companions = c->companions,
        .cap_pages = c->cap_pages ? sim->map->share[id] + c->cap_pages : 0,
    };
    make_tables(&l->tables, &l->config);
    l->mem = lane_mem_new(sim, n);
    l->could_get = g_ptr_array_new_with_free_func(g_free);
    make_lanes(sim, n, l->config.lanes.n);
    n->node = l->tables.node;
}

static void lane_node_free(SimNode *n)
{
    SimLanes *l = n->lanes;

    for (unsigned lane = 0; lane < l->config.lanes.n; lane++) {
        lane_free(l->lane[lane].lane);
    }
    mem_free(l->mem);
    g_ptr_array_unref(l->could_get);
    g_free(l->tables.node.peer);
    g_free(l->tables.node.home);
    g_free(l->tables.node.entries);
    g_free(l->tables.page_faults);
    g_free(l->tables.evict_flags);
    g_free(l->tables.census);
    g_free(l);
}

static void lane_node_fault(Sim *sim, SimNode *n)
{
    SimLanes *l = n->lanes;
    unsigned number = lane_of(&l->config.lanes, n->access.page);
    MemFault fault = {
        .page = n->access.page, .write = n->access.write,
        .tid = n->node.id + 1,
    };

    if (n->access.operate) {
        l->asks = true;
    } else if (!l->mem->faults[number]->len) {
        g_array_append_val(l->mem->faults[number], fault);
    }
    lane_want_pass(sim, n, number, sim->now_ns);
}

static void lane_node_wrote(SimNode *n, CohPage page)
{
    lane_mem_wrote(n->lanes->mem, page, n->version[page]);
}

void lane_retry(Sim *sim, SimNode *n)
{
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = SIM_RETRY, .node = n->node.id,
        .ev = { .page = n->access.page },
    });
}

static void woken(Sim *sim, SimNode *n, CohPage page)
{
    SplitPhase split = n->lanes->split;

    if (!n->busy || !n->fault_ns || n->access.operate ||
        n->access.page != page) {
        return;
    }
    if (n->failed) {
        lane_loss_retry(sim, n);
    } else if (split == SPLIT_NONE || split == SPLIT_FIRST ||
               split == SPLIT_SECOND) {
        sim_try_access(sim, n);
    }
}

static void lane_node_happen(Sim *sim, SimNode *n, const SimEvent *event)
{
    SimLane *l = &n->lanes->lane[event->lane];

    switch (event->kind) {
    case SIM_ARRIVE:
        g_queue_push_tail(&transport_of(l)->arrived, event->bunch);
        lane_want_pass(sim, n, event->lane, sim->now_ns);
        break;
    case SIM_PASS:
        /* Another time: an earlier pass was wanted, and replaced this one. */
        if (event->at_ns == l->pass_ns) {
            pass(sim, n, event->lane);
        }
        break;
    case SIM_RETRY:
        woken(sim, n, event->ev.page);
        break;
    case SIM_STORE:
        lane_split_store(sim, n);
        break;
    case SIM_FAIL:
        lane_loss_heard(sim, n);
        break;
    }
}

static void lane_node_count(SimNode *n, SimResult *result)
{
    for (unsigned i = 0; i < n->lanes->config.lanes.n; i++) {
        const EngineStats *stats = &n->lanes->lane[i].lane->ctx.stats;

        result->evictions += stats->evictions_asked;
        for (unsigned type = 0; type < COH_EV__MAX; type++) {
            result->by_type[type] += stats->sent_by_type[type];
        }
    }
}

const SimNodeOps sim_lane_nodes = {
    .init = lane_node_init,
    .free = lane_node_free,
    .fault = lane_node_fault,
    .split = lane_split_begin,
    .split_ready = lane_split_ready,
    .lose = lane_loss,
    .wrote = lane_node_wrote,
    .happen = lane_node_happen,
    .count = lane_node_count,
    .operates = true,
};
