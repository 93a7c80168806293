/*
 * The simulator's nodes: what the engine does, without its world
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim-internal.h"

static void set_tables(SimNode *n, CohNodeId id, const ClusterMap *map)
{
    n->node = (CohNode) {
        .id = id, .map = map, .peer = g_malloc0(coh_node_peer_bytes(map)),
    };
    coh_node_set_homes(&n->node, g_malloc(coh_node_index_bytes(map)),
                       g_malloc0(coh_node_home_bytes(map, id)));
}

Sim *sim_new(const SimConfig *c)
{
    Sim *sim = g_new0(Sim, 1);

    sim->config = c;
    sim->random = c->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    sim->map = cluster_map_new_even(c->nodes, c->pages, c->stretch_bits);
    sim->node = g_new0(SimNode, c->nodes);
    sim->latest = g_new0(uint32_t, c->pages);
    sim->readers = g_new0(uint16_t, c->pages);
    sim->writers = g_new0(uint16_t, c->pages);
    sim->heap = g_array_new(false, false, sizeof(SimEvent));
    for (unsigned n = 0; n < c->nodes; n++) {
        SimNode *node = &sim->node[n];

        set_tables(node, n, sim->map);
        node->mem = g_new0(uint8_t, c->pages);
        node->version = g_new0(uint32_t, c->pages);
        node->kept = g_hash_table_new(NULL, NULL);
        node->stalled = g_hash_table_new(NULL, NULL);
        hold_init(&node->hold, c->hold_ns, HOLD_FETCHES);
    }
    return sim;
}

static void free_queue(gpointer page, gpointer queue, gpointer unused)
{
    g_queue_free_full(queue, g_free);
}

void sim_free(Sim *sim)
{
    for (unsigned n = 0; n < sim->config->nodes; n++) {
        SimNode *node = &sim->node[n];

        g_free(node->node.peer);
        g_free(node->node.home);
        g_free(node->node.entries);
        g_free(node->mem);
        g_free(node->version);
        g_hash_table_unref(node->kept);
        g_hash_table_foreach(node->stalled, free_queue, NULL);
        g_hash_table_unref(node->stalled);
    }
    g_free(sim->node);
    g_free(sim->latest);
    g_free(sim->readers);
    g_free(sim->writers);
    g_array_unref(sim->heap);
    cluster_map_free(sim->map);
    g_free(sim);
}

/* ---------------------------------------------------------------- memory */

static void set_mem(Sim *sim, SimNode *n, CohPage page, uint8_t mem)
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

/* What one pass over a few pages finds; as the engine does. */
static void evict_some(Sim *sim, SimNode *n)
{
    for (int i = 0; i < 64 && n->foreign > sim->config->cap_pages; i++) {
        CohPage page = n->hand;

        n->hand = (n->hand + 1) % sim->config->pages;
        if (n->mem[page] &&
            cluster_map_home(sim->map, page) != n->node.id) {
            sim->result.evictions++;
            sim_schedule(sim, (SimEvent) {
                .at_ns = sim->now_ns, .kind = SIM_STEP, .node = n->node.id,
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
        .at_ns = sim->now_ns, .kind = SIM_STEP, .node = n->node.id,
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
    set_mem(sim, n, page, mem);
    installed(sim, n, page);
}

/* ------------------------------------------------ operations on a word */

static bool awaits_answer(const SimNode *n, CohPage page)
{
    return n->busy && n->fault_ns && n->access.operate &&
           n->access.page == page;
}

/* What the node itself asks for: at once, before anything else can happen. */
static void step_now(Sim *sim, SimNode *n, CohEventType type, CohPage page)
{
    SimEvent event = {
        .at_ns = sim->now_ns, .node = n->node.id, .held = true,
        .ev = { .type = type, .from = n->node.id, .page = page },
    };

    sim_step(sim, n, &event);
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

/* The page has come for an operation that nobody else could do. */
static void operate_here(Sim *sim, SimNode *n, CohPage page)
{
    uint8_t state = n->node.peer[page].state;

    if (!n->operate_here || n->access.page != page) {
        return;
    }
    if (state == COH_PEER_M) {
        step_now(sim, n, COH_EV_OPERATE, page);
    } else if (state == COH_PEER_S || state == COH_PEER_I) {
        /* What was under way was only to be read, or went again. */
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
        set_mem(sim, n, page, SIM_RW);
        installed(sim, n, page);
        break;
    case COH_ACT_PROTECT:
        set_mem(sim, n, page, SIM_RO);
        break;
    case COH_ACT_COPY:
        *copied = n->version[page];
        break;
    case COH_ACT_TAKE:
        *copied = n->version[page];
        /* fall through */
    case COH_ACT_ZAP:
        set_mem(sim, n, page, SIM_NONE);
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
            sim_send(sim, n->node.id, event->ev.page, d, copied);
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

void sim_step(Sim *sim, SimNode *n, const SimEvent *event)
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

void sim_check_end(Sim *sim)
{
    if (sim->config->lose_at) {
        return;
    }
    for (unsigned n = 0; n < sim->config->nodes; n++) {
        if (sim->node[n].fault_ns) {
            sim_violated(sim, sim->node[n].access.operate
                              ? "an operation waits for ever"
                              : "an access waits for ever");
        }
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
