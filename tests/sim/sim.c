/*
 * A cluster in a virtual clock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/hold.h"
#include "sim-internal.h"

#define HEAD_BYTES 48

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
        .nodes = 4, .pages = 1024, .seed = 1, .events = 100000,
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

/* --------------------------------------------------------------- network */

static int64_t travel_ns(Sim *sim, const CohDo *d)
{
    const SimConfig *c = sim->config;

    /* Jitter of up to a quarter: messages of one pair change places. */
    return c->wire_ns + (d->data ? c->page_ns : 0) +
           sim_random(sim, c->wire_ns / 4 + 1);
}

static unsigned payload_bytes(const CohDo *d, uint32_t version)
{
    switch (d->msg) {
    case COH_EV_GETV:
    case COH_EV_FWD_GETV:
    case COH_EV_VALUE:
        return COH_OP_BYTES;
    default:
        return d->data && version ? COH_PAGE_SIZE : 0;
    }
}

void sim_send(Sim *sim, CohNodeId from, CohPage page, const CohDo *d,
              uint32_t version)
{
    CohNodeId to = coh_set_next(&d->to, 0);
    int64_t leaves_ns = sim->now_ns;

    for (; to != COH_NODE_NONE; to = coh_set_next(&d->to, to + 1)) {
        SimEvent event = {
            .at_ns = leaves_ns, .kind = SIM_STEP, .node = to,
            .version = version,
            .ev = {
                .type = d->msg, .from = from, .requester = d->requester,
                .acks = d->acks, .page = page,
            },
        };

        if (to != from) {
            event.at_ns += travel_ns(sim, d);
            sim->result.messages++;
            sim->result.by_type[d->msg]++;
            sim->result.bytes += HEAD_BYTES + payload_bytes(d, version);
        }
        sim_schedule(sim, event);
        leaves_ns += d->msg == COH_EV_INV ? sim->config->apart_ns : 0;
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
        n->fault_ns = 0;
    }
    sim->result.accesses++;
    n->turn++;
    n->busy = false;
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = SIM_NEXT, .node = n->node.id,
    });
}

static void load_or_store(Sim *sim, SimNode *n)
{
    CohPage page = n->access.page;

    if (n->version[page] != sim->latest[page]) {
        sim_violated(sim, "an access saw old data");
    }
    if (n->access.write) {
        n->version[page] = ++sim->latest[page];
    }
    sim_access_done(sim, n);
}

/* The access either succeeds now or waits; an operation always waits. */
void sim_try_access(Sim *sim, SimNode *n)
{
    const SimAccess *a = &n->access;
    uint8_t mem = n->mem[a->page];

    if (!a->operate && (mem == SIM_RW || (mem == SIM_RO && !a->write))) {
        load_or_store(sim, n);
        return;
    }
    n->fault_ns = n->fault_ns ?: MAX(sim->now_ns, 1);
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = SIM_STEP, .node = n->node.id,
        .ev = {
            .type = a->operate ? COH_EV_OPERATE :
                    a->write ? COH_EV_STORE : COH_EV_LOAD,
            .from = n->node.id, .page = a->page,
        },
    });
}

static void next_access(Sim *sim, SimNode *n)
{
    if (n->busy || sim->ending) {
        return;
    }
    n->busy = true;
    n->access = (SimAccess) { .think_ns = 500 };
    sim->config->workload->next(sim, n->node.id, &n->access);
    if (n->access.none) {
        return;
    }
    n->access.page %= sim->config->pages;
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns + n->access.think_ns, .kind = SIM_ACCESS,
        .node = n->node.id,
    });
}

/* ------------------------------------------------------------------ run */

static void happen(Sim *sim, const SimEvent *event)
{
    SimNode *n = &sim->node[event->node];

    if (n->lost || (event->kind == SIM_STEP &&
                    sim->node[event->ev.from].lost)) {
        return;
    }
    switch (event->kind) {
    case SIM_STEP:
        sim_step(sim, n, event);
        break;
    case SIM_NEXT:
        next_access(sim, n);
        break;
    case SIM_ACCESS:
        sim_try_access(sim, n);
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
            /* The survivors stop; what they hold must be right. */
            sim->node[c->nodes - 1].lost = true;
            sim->ending = true;
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
        sim_check_end(sim);
    }
    sim->result.end_ns = sim->now_ns;
    result = sim->result;
    sim_free(sim);
    return result;
}
