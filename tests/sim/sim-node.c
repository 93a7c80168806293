/*
 * The simulator's nodes: the core, and a model of the engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim-internal.h"

#define HEAD_BYTES 48

/* Of core nodes: @ev comes to @node. */
enum { CORE_STEP = SIM_OWN };

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

static void send_all(Sim *sim, CohNodeId from, CohPage page, const CohDo *d,
              uint32_t version)
{
    CohNodeId to = coh_set_next(&d->to, 0);
    int64_t leaves_ns = sim->now_ns;

    for (; to != COH_NODE_NONE; to = coh_set_next(&d->to, to + 1)) {
        SimEvent event = {
            .at_ns = leaves_ns, .kind = CORE_STEP, .node = to,
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

/* ---------------------------------------------------------------- memory */

/* One page, if there is one among the next few; as the engine does. */
static void evict_some(Sim *sim, SimNode *n)
{
    for (int i = 0; i < 64 && n->foreign > sim->config->cap_pages; i++) {
        CohPage page = n->hand;

        n->hand = (n->hand + 1) % sim->config->pages;
        if (n->mem[page] &&
            cluster_map_home(sim->map, page) != n->node.id) {
            sim->result.evictions++;
            sim_schedule(sim, (SimEvent) {
                .at_ns = sim->now_ns, .kind = CORE_STEP, .node = n->node.id,
                .ev = {
                    .type = COH_EV_EVICT, .from = n->node.id, .page = page,
                },
            });
            return;
        }
    }
}

static void installed(Sim *sim, SimNode *n, CohPage page)
{
    hold_installed(&n->hold, page, 1, sim->now_ns);
    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = CORE_STEP, .node = n->node.id,
        .ev = {
            .type = COH_EV_INSTALLED, .from = n->node.id, .page = page,
        },
    });
    if (sim->config->cap_pages && n->foreign > sim->config->cap_pages) {
        evict_some(sim, n);
    }
}

static void install(Sim *sim, SimNode *n, CohPage page, uint8_t mem,
                    uint32_t version)
{
    if (n->mem[page] != SIM_NONE) {
        sim_violated(sim, "an installation over something else");
    }
    n->version[page] = version;
    sim_set_mem(sim, n, page, mem);
    installed(sim, n, page);
}

/* ------------------------------------------------ operations on a word */

static bool awaits_answer(const SimNode *n, CohPage page)
{
    return n->busy && n->fault_ns && n->access.operate &&
           n->access.page == page;
}

static void step(Sim *sim, SimNode *n, const SimEvent *event);

/* A step of the node's own: at once, before anything else can happen. */
static void step_now(Sim *sim, SimNode *n, CohEventType type, CohPage page)
{
    SimEvent event = {
        .at_ns = sim->now_ns, .node = n->node.id, .held = true,
        .ev = { .type = type, .from = n->node.id, .page = page },
    };

    step(sim, n, &event);
}

static void operate(Sim *sim, SimNode *n, CohPage page, uint32_t *copied)
{
    if (n->mem[page] != SIM_RW || n->version[page] != sim->latest[page]) {
        sim_violated(sim, "operates on what others may have or change");
    }
    n->version[page] = *copied = ++sim->latest[page];
    sim->operated++;
}

/* @version is the one that the operation made; 0: none did. */
static void answer(Sim *sim, SimNode *n, CohPage page, uint32_t version)
{
    if (!awaits_answer(n, page)) {
        sim_violated(sim, "an answer that nobody waits for");
        return;
    }
    if (!version) {
        sim_violated(sim, "an operation is answered, but was not done");
    }
    sim->answered++;
    n->operate_here = false;
    sim_access_done(sim, n);
}

static void operation_act(Sim *sim, SimNode *n, const SimEvent *event,
                          CohAct act, uint32_t *copied)
{
    CohPage page = event->ev.page;

    switch (act) {
    case COH_ACT_OPERATE:
        operate(sim, n, page, copied);
        break;
    case COH_ACT_ANSWER:
        answer(sim, n, page, *copied ?: event->version);
        break;
    case COH_ACT_FETCH:
        if (!awaits_answer(n, page)) {
            sim_violated(sim, "a refusal that nobody waits for");
            break;
        }
        n->operate_here = true;
        step_now(sim, n, COH_EV_STORE, page);
        break;
    default:
        break;
    }
}

/* The page has come for an operation that no other node could do. */
static void operate_here(Sim *sim, SimNode *n, CohPage page)
{
    uint8_t state = n->node.peer[page].state;

    if (!n->operate_here || n->access.page != page) {
        return;
    }
    if (state == COH_PEER_M) {
        step_now(sim, n, COH_EV_OPERATE, page);
    } else if (state == COH_PEER_S || state == COH_PEER_I) {
        /* The page that was under way was only to be read, or went again. */
        step_now(sim, n, COH_EV_STORE, page);
    }
}

/* --------------------------------------------------------------- actions */

static void memory_act(Sim *sim, SimNode *n, const SimEvent *event,
                       CohAct act, uint32_t *copied)
{
    CohPage page = event->ev.page;

    switch (act) {
    case COH_ACT_INSTALL_RO:
        install(sim, n, page, SIM_RO, event->version);
        break;
    case COH_ACT_INSTALL_RW:
        install(sim, n, page, SIM_RW, event->version);
        break;
    case COH_ACT_INSTALL_ZERO:
        install(sim, n, page, SIM_RW, 0);
        break;
    case COH_ACT_INSTALL_KEPT:
        install(sim, n, page, SIM_RW,
                GPOINTER_TO_UINT(g_hash_table_lookup(
                    n->kept, GUINT_TO_POINTER(page))));
        break;
    case COH_ACT_KEEP:
        g_hash_table_insert(n->kept, GUINT_TO_POINTER(page),
                            GUINT_TO_POINTER(event->version));
        break;
    case COH_ACT_UNPROTECT:
        sim_set_mem(sim, n, page, SIM_RW);
        installed(sim, n, page);
        break;
    case COH_ACT_PROTECT:
        sim_set_mem(sim, n, page, SIM_RO);
        break;
    case COH_ACT_COPY:
        *copied = n->version[page];
        break;
    case COH_ACT_TAKE:
        *copied = n->version[page];
        /* fall through */
    case COH_ACT_ZAP:
        sim_set_mem(sim, n, page, SIM_NONE);
        break;
    case COH_ACT_WAKE:
        if (n->busy && n->fault_ns && n->access.page == page &&
            !n->access.operate) {
            sim_try_access(sim, n);
        }
        break;
    case COH_ACT_ADOPT:
        step_now(sim, n, COH_EV_STORE, page);
        break;
    default:
        operation_act(sim, n, event, act, copied);
        break;
    }
}

/* ----------------------------------------------------------------- steps */

static void trace_do(FILE *trace, const CohDo *d)
{
    CohNodeId to = coh_set_next(&d->to, 0);

    if (d->act != COH_ACT_NONE) {
        fprintf(trace, " %s", coh_act_name(d->act));
    }
    for (; to != COH_NODE_NONE; to = coh_set_next(&d->to, to + 1)) {
        fprintf(trace, " %s>%d", coh_event_name(d->msg), to);
    }
}

static void trace_step(Sim *sim, const SimNode *n, const CohEvent *ev,
                       const CohActions *acts)
{
    fprintf(sim->config->trace, "%8" PRId64 " node %d page %" PRIu64
            " %s %s + %s from %d -> %s:", sim->now_ns, n->node.id, ev->page,
            acts->home ? "home" : "peer",
            acts->home ? coh_home_state_name(acts->state)
                       : coh_peer_state_name(acts->state),
            acts->home ? coh_home_event_name(acts->event)
                       : coh_peer_event_name(acts->event), ev->from,
            acts->home ? coh_home_state_name(acts->next)
                       : coh_peer_state_name(acts->next));
    for (unsigned i = 0; i < acts->n; i++) {
        trace_do(sim->config->trace, &acts->act[i]);
    }
    fputc('\n', sim->config->trace);
}

static void stall(SimNode *n, const SimEvent *event)
{
    gpointer page = GUINT_TO_POINTER(event->ev.page);
    GQueue *queue = g_hash_table_lookup(n->stalled, page);

    if (!queue) {
        queue = g_queue_new();
        g_hash_table_insert(n->stalled, page, queue);
    }
    g_queue_push_tail(queue, g_memdup2(event, sizeof(*event)));
}

static void unstall(Sim *sim, SimNode *n, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(n->stalled, GUINT_TO_POINTER(page));
    g_autofree SimEvent *event = queue ? g_queue_pop_head(queue) : NULL;

    if (event) {
        event->at_ns = sim->now_ns;
        sim_schedule(sim, *event);
    }
}

static void perform(Sim *sim, SimNode *n, const SimEvent *event,
                    const CohActions *acts)
{
    uint32_t copied = 0;

    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];

        if (d->act == COH_ACT_NONE) {
            send_all(sim, n->node.id, event->ev.page, d, copied);
        } else {
            memory_act(sim, n, event, d->act, &copied);
        }
    }
}

/* Must it come later: the node is busy, or holds the page? */
static bool put_off(Sim *sim, SimNode *n, const SimEvent *event)
{
    bool slow = sim->config->slow_node == n->node.id && n->node.id;
    SimEvent later = *event;
    int64_t until;

    if (!event->held) {
        later.held = true;
        later.at_ns = MAX(sim->now_ns, n->free_ns) +
                      sim->config->handle_ns * (slow ? 10 : 1);
        n->free_ns = later.at_ns;
        sim_schedule(sim, later);
        return true;
    }
    if ((event->ev.type == COH_EV_FWD_GETS ||
         event->ev.type == COH_EV_FWD_GETM || event->ev.type == COH_EV_INV) &&
        n->node.peer[event->ev.page].state != COH_PEER_SM_AD) {
        until = hold_until(&n->hold, event->ev.page);
        if (until > sim->now_ns) {
            later.at_ns = until;
            sim_schedule(sim, later);
            return true;
        }
    }
    return false;
}

static void step(Sim *sim, SimNode *n, const SimEvent *event)
{
    CohActions acts;

    if (put_off(sim, n, event)) {
        return;
    }
    switch (coh_step(&n->node, &event->ev, &acts)) {
    case COH_STALLED:
        stall(n, event);
        break;
    case COH_BROKEN:
        sim_violated(sim, acts.why);
        break;
    case COH_OK:
        if (sim->config->trace) {
            trace_step(sim, n, &event->ev, &acts);
        }
        perform(sim, n, event, &acts);
        if (!acts.home) {
            operate_here(sim, n, event->ev.page);
        } else if (!coh_home_is_busy(acts.next)) {
            /* Not only after DONE: a refusal is an answer, too. */
            unstall(sim, n, event->ev.page);
        }
        break;
    }
}

/* ------------------------------------------------------------------- ops */

static void set_tables(SimNode *n, CohNodeId id, const ClusterMap *map)
{
    n->node = (CohNode) {
        .id = id, .map = map, .peer = g_malloc0(coh_node_peer_bytes(map)),
    };
    coh_node_set_homes(&n->node, g_malloc(coh_node_index_bytes(map)),
                       g_malloc0(coh_node_home_bytes(map, id)));
}

static void core_init(Sim *sim, SimNode *n, CohNodeId id)
{
    set_tables(n, id, sim->map);
    n->kept = g_hash_table_new(NULL, NULL);
    n->stalled = g_hash_table_new(NULL, NULL);
    hold_init(&n->hold, sim->config->hold_ns, HOLD_FETCHES);
}

static void free_queue(gpointer page, gpointer queue, gpointer unused)
{
    g_queue_free_full(queue, g_free);
}

static void core_free(SimNode *n)
{
    g_free(n->node.peer);
    g_free(n->node.home);
    g_free(n->node.entries);
    g_hash_table_unref(n->kept);
    g_hash_table_foreach(n->stalled, free_queue, NULL);
    g_hash_table_unref(n->stalled);
}

static void core_fault(Sim *sim, SimNode *n)
{
    const SimAccess *a = &n->access;

    sim_schedule(sim, (SimEvent) {
        .at_ns = sim->now_ns, .kind = CORE_STEP, .node = n->node.id,
        .ev = {
            .type = a->operate ? COH_EV_OPERATE :
                    a->write ? COH_EV_STORE : COH_EV_LOAD,
            .from = n->node.id, .page = a->page,
        },
    });
}

static void core_happen(Sim *sim, SimNode *n, const SimEvent *event)
{
    if (!sim->node[event->ev.from].lost) {
        step(sim, n, event);
    }
}

const SimNodeOps sim_core_nodes = {
    .init = core_init,
    .free = core_free,
    .fault = core_fault,
    .happen = core_happen,
    .operates = true,
};
