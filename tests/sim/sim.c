/*
 * A cluster in a virtual clock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim-internal.h"

/* xorshift64*: small, fast, and good enough to choose pages with. */
uint64_t sim_random(Sim *sim, uint64_t below)
{
    sim->random ^= sim->random >> 12;
    sim->random ^= sim->random << 25;
    sim->random ^= sim->random >> 27;
    return (sim->random * UINT64_C(0x2545f4914f6cdd1d) >> 32) % below;
}

const SimConfig *sim_config(const Sim *sim)
{
    return sim->config;
}

int64_t sim_now_ns(const Sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_turn(Sim *sim, CohNodeId node)
{
    return sim->node[node].turn;
}

void sim_defaults(SimConfig *config)
{
    *config = (SimConfig) {
        .ops = &sim_core_nodes, .nodes = 4, .pages = 1024, .seed = 1,
        .events = 100000,
        .hold_ns = 100000, .wire_ns = 10000, .page_ns = 1000,
        .handle_ns = 1000, .workload = sim_workload("mixed"),
    };
}

void sim_violated(Sim *sim, const char *what)
{
    if (!sim->result.violation) {
        sim->result.violation = what;
    }
}

/* --------------------------------------------------- the queue of events */

static bool is_before(const SimEvent *a, const SimEvent *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->seq < b->seq);
}

void sim_schedule(Sim *sim, SimEvent event)
{
    SimEvent *heap;
    guint i = sim->heap->len;

    event.seq = sim->seq++;
    g_array_append_val(sim->heap, event);
    heap = (SimEvent *)sim->heap->data;
    while (i && is_before(&event, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = event;
}

static SimEvent take_first(Sim *sim)
{
    SimEvent *heap = (SimEvent *)sim->heap->data;
    guint len = sim->heap->len - 1, i = 0;
    SimEvent first = heap[0], last = heap[len];

    for (guint child = 1; child < len; child = 2 * i + 1) {
        child += child + 1 < len && is_before(&heap[child + 1], &heap[child]);
        if (!is_before(&heap[child], &last)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    g_array_set_size(sim->heap, len);
    return first;
}

/* ------------------------------------------------------ nodes and pages */

static Sim *sim_new(const SimConfig *c)
{
    Sim *sim = g_new0(Sim, 1);

    sim->config = c;
    sim->random = c->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    sim->map = cluster_map_new_even(c->nodes, c->pages, c->stretch_bits);
    sim->node = g_new0(SimNode, c->nodes);
    sim->latest = g_new0(uint32_t, c->pages);
    sim->readers = g_new0(uint16_t, c->pages);
    sim->writers = g_new0(uint16_t, c->pages);
    g_queue_init(&sim->split);
    sim->heap = g_array_new(false, false, sizeof(SimEvent));
    for (unsigned n = 0; n < c->nodes; n++) {
        sim->node[n].mem = g_new0(uint8_t, c->pages);
        sim->node[n].version = g_new0(uint32_t, c->pages);
        c->ops->init(sim, &sim->node[n], n);
    }
    return sim;
}

static void sim_free(Sim *sim)
{
    for (unsigned n = 0; n < sim->config->nodes; n++) {
        sim->config->ops->free(&sim->node[n]);
        g_free(sim->node[n].mem);
        g_free(sim->node[n].version);
    }
    g_free(sim->node);
    g_free(sim->latest);
    g_free(sim->bytes);
    g_free(sim->readers);
    g_free(sim->writers);
    g_array_unref(sim->heap);
    g_queue_clear(&sim->split);
    cluster_map_free(sim->map);
    g_free(sim);
}

void sim_set_mem(Sim *sim, SimNode *n, CohPage page, uint8_t mem)
{
    uint8_t old = n->mem[page];

    sim->readers[page] += (mem == SIM_RO) - (old == SIM_RO);
    sim->writers[page] += (mem == SIM_RW) - (old == SIM_RW);
    if (cluster_map_home(sim->map, page) != n->node.id) {
        n->foreign += (mem != SIM_NONE) - (old != SIM_NONE);
    }
    n->mem[page] = mem;
    if (sim->writers[page] + (sim->readers[page] > 0) > 1) {
        sim_violated(sim, "more than a single writer or many readers");
    }
}

/* ---------------------------------------------------------------- vCPUs */

static void count_latency(SimResult *r, int64_t ns, bool write)
{
    unsigned bucket = 0;

    if (ns >= 4) {
        unsigned log = 63 - __builtin_clzll(ns);

        bucket = log * 4 + ((ns >> (log - 2)) & 3);
    }
    r->latency[MIN(bucket, SIM_LATENCIES - 1)]++;
    r->fault_ns += ns;
    r->write_faults += write;
    r->write_ns += write ? ns : 0;
}

int64_t sim_latency_ns(const SimResult *r, double share)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < SIM_LATENCIES; i++) {
        seen += r->latency[i];
        if (seen && seen >= share * r->faults) {
            return ((int64_t)(i & 3) + 5) << MAX((int)(i / 4) - 2, 0);
        }
    }
    return 0;
}

void sim_access_done(Sim *sim, SimNode *n)
{
    if (n->fault_ns) {
        sim->result.faults++;
        count_latency(&sim->result, sim->now_ns - n->fault_ns + 1,
                      n->access.write);
        n->waited_ns += sim->now_ns - n->fault_ns;
        n->fault_ns = 0;
    }
    sim->result.accesses++;
    n->turn++;
    n->busy = false;
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = SIM_NEXT, .node = n->node.id,
    });
}

void sim_touch(Sim *sim, SimNode *n, CohPage page, bool write)
{
    if (n->version[page] != sim->latest[page]) {
        sim_violated(sim, "an access saw old data");
    }
    if (write) {
        n->version[page] = ++sim->latest[page];
        if (sim->config->ops->wrote) {
            sim->config->ops->wrote(n, page);
        }
    }
}

/* The access either succeeds now or waits; an operation always waits. */
void sim_try_access(Sim *sim, SimNode *n)
{
    const SimAccess *a = &n->access;
    uint8_t mem = n->mem[a->page];

    if (!a->operate && (mem == SIM_RW || (mem == SIM_RO && !a->write))) {
        if (a->split) {
            sim->config->ops->split_ready(sim, n);
        } else {
            sim_touch(sim, n, a->page, a->write);
            sim_access_done(sim, n);
        }
        return;
    }
    n->fault_ns = n->fault_ns ?: MAX(sim->now_ns, 1);
    sim->config->ops->fault(sim, n);
}

static void next_access(Sim *sim, SimNode *n)
{
    if (n->busy || sim->ending || n->failed) {
        return;
    }
    n->busy = true;
    n->access = (SimAccess) { .think_ns = 500 };
    sim->config->workload->next(sim, n->node.id, &n->access);
    if (n->access.none) {
        return;
    }
    n->access.page %= sim->config->pages;
    if (!sim->config->ops->operates) {
        n->access.write |= n->access.operate;
        n->access.operate = false;
    }
    if (!sim->config->ops->split) {
        n->access.write |= n->access.split;
        n->access.split = false;
    }
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns + n->access.think_ns, .kind = SIM_ACCESS,
        .node = n->node.id,
    });
}

/* ------------------------------------------------------------------ run */

static void happen(Sim *sim, const SimEvent *event)
{
    SimNode *n = &sim->node[event->node];

    if (n->lost) {
        g_free(event->bunch);
        return;
    }
    switch (event->kind) {
    case SIM_NEXT:
        next_access(sim, n);
        break;
    case SIM_ACCESS:
        if (n->failed) {
            break;
        }
        if (n->access.split) {
            sim->config->ops->split(sim, n);
        } else {
            sim_try_access(sim, n);
        }
        break;
    default:
        sim->config->ops->happen(sim, n, event);
        break;
    }
}

static void run_events(Sim *sim)
{
    const SimConfig *c = sim->config;

    while (sim->heap->len && !sim->result.violation) {
        SimEvent event = take_first(sim);

        sim->now_ns = event.at_ns;
        sim->result.events++;
        if (c->lose_at && sim->result.events == c->lose_at) {
            /* The survivors stop; the pages that they hold must be right. */
            sim->node[c->nodes - 1].lost = !c->breaks;
            if (c->ops->lose) {
                c->ops->lose(sim);
            } else {
                sim->ending = true;
            }
        }
        if (sim->result.events >= c->events) {
            sim->ending = true;
        }
        if (sim->result.events > 2 * c->events + 1000000) {
            sim_violated(sim, "it does not come to an end");
        }
        happen(sim, &event);
    }
}

/* ------------------------------------------------------------------- end */

static bool entry_agrees(const Sim *sim, const CohHome *home, CohPage page)
{
    for (unsigned n = 0; n < sim->config->nodes; n++) {
        uint8_t wanted = SIM_NONE;

        if (home->state == COH_HOME_S && coh_set_has(&home->sharers, n)) {
            wanted = SIM_RO;
        } else if (home->state == COH_HOME_M && home->owner == n) {
            wanted = SIM_RW;
        }
        if (sim->node[n].mem[page] != wanted ||
            (wanted && sim->node[n].version[page] != sim->latest[page])) {
            return false;
        }
    }
    return home->state == COH_HOME_U || home->state == COH_HOME_S ||
           home->state == COH_HOME_M;
}

static void check_end(Sim *sim)
{
    const SimConfig *c = sim->config;
    bool any_lost = c->lose_at && sim->result.events >= c->lose_at;

    if (any_lost && !c->ops->lose) {
        return;
    }
    for (unsigned n = 0; n < c->nodes; n++) {
        if (sim->node[n].fault_ns && !sim->node[n].lost) {
            sim_violated(sim, sim->node[n].access.operate
                              ? "an operation waits for ever"
                              : "an access waits for ever");
        }
    }
    if (any_lost) {
        return;
    }
    if (sim->operated != sim->answered) {
        sim_violated(sim, "an operation was done twice, or not at all");
    }
    for (CohPage page = 0; page < sim->config->pages; page++) {
        CohNodeId home = cluster_map_home(sim->map, page);
        const CohNode *node = &sim->node[home].node;

        if (!entry_agrees(sim, coh_node_home(node, page), page)) {
            sim_violated(sim, "a directory is not what the nodes hold");
        }
    }
}

SimResult sim_run(const SimConfig *config)
{
    Sim *sim = sim_new(config);
    SimResult result;

    for (unsigned n = 0; n < config->nodes; n++) {
        sim_schedule(sim, (SimEvent) {
            .at_ns = sim_random(sim, 1000), .kind = SIM_NEXT, .node = n,
        });
    }
    run_events(sim);
    if (!sim->result.violation) {
        check_end(sim);
    }
    for (unsigned n = 0; config->ops->count && n < config->nodes; n++) {
        config->ops->count(&sim->node[n], &sim->result);
    }
    sim->result.end_ns = sim->now_ns;
    result = sim->result;
    sim_free(sim);
    return result;
}
