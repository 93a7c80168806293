/*
 * distkvm: the engine's part that performs the protocol's actions
 *
 * Engine thread only, no locks: actions of one page happen in step order.
 * Touches guest RAM only where the protocol says the page is present.
 * Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/trace.h"

/*
 * Of fewer pages the first is wanted too soon for it to wait for the next; but
 * a walk needs all its tables.
 */
#define CORK_PAGES 16

static guint page_hash(gconstpointer key)
{
    return g_int64_hash(key);
}

void engine_coh_init(Engine *e, Engine *front)
{
    const ClusterMap *map = e->config.map;
    CohHome **index, *entries;

    e->node = front->node;
    e->heat = front->heat;
    if (e == front) {
        e->node.id = e->config.id;
        e->node.map = map;
        e->node.peer = g_malloc0(coh_node_peer_bytes(map));
        /* One block: the host gives memory only where an entry is written. */
        entries = g_malloc0(coh_node_home_bytes(map, e->node.id));
        index = g_malloc(coh_node_index_bytes(map));
        coh_node_set_homes(&e->node, index, entries);
        e->heat = g_new0(uint16_t, map->pages);
        e->stats.pages_home = map->share[e->node.id];
    }
    g_queue_init(&e->local);
    e->stalled = g_hash_table_new_full(page_hash, g_int64_equal, g_free, NULL);
    e->kept = g_hash_table_new_full(page_hash, g_int64_equal, g_free, g_free);
    e->waiting = g_hash_table_new_full(page_hash, g_int64_equal, g_free,
                                       g_free);
    e->wishes = g_hash_table_new_full(page_hash, g_int64_equal, g_free,
                                      (GDestroyNotify)g_queue_free);
    e->wish_due_ns = INT64_MAX;
    engine_held_init(e);
    engine_run_init(e);
    engine_evict_init(e, front);
    QEMU_BUILD_BUG_ON(COH_NODES_MAX * LANES_MAX >= 1 << DELTA_AUTHOR_BITS);
    e->delta = delta_new(e->node.id * LANES_MAX + e->lane,
                         e->config.incarnation, e->config.delta_pages);
    e->early = g_array_new(false, false, sizeof(CohPage));
    engine_late_init(e);
    e->lent = g_hash_table_new(NULL, NULL);
}

void engine_coh_free(Engine *e)
{
    GHashTableIter iter;
    gpointer queue;

    g_hash_table_iter_init(&iter, e->stalled);
    while (g_hash_table_iter_next(&iter, NULL, &queue)) {
        g_queue_free_full(queue, g_free);
    }
    g_hash_table_unref(e->stalled);
    g_hash_table_unref(e->kept);
    g_hash_table_unref(e->waiting);
    g_hash_table_unref(e->wishes);
    engine_held_free(e);
    engine_run_free(e);
    g_array_unref(e->early);
    engine_late_free(e);
    g_hash_table_unref(e->lent);
    engine_evict_free(e);
    delta_free(e->delta);
    g_queue_clear_full(&e->local, g_free);
    if (!e->lane) {
        g_free(e->node.peer);
        g_free(e->node.home);
        g_free(e->node.entries);
        g_free(e->heat);
    }
}

static gpointer page_key(CohPage page)
{
    return g_memdup2(&page, sizeof(page));
}

/* ------------------------------------------------------------- actions */

/* What is done with a word goes along, and what it held comes back. */
static bool carries_op(unsigned msg)
{
    return msg == COH_EV_GETV || msg == COH_EV_FWD_GETV || msg == COH_EV_VALUE;
}

static void send_message(Engine *e, const CohEvent *ev, const CohDo *d)
{
    uint8_t bytes[COH_OP_BYTES];
    CohOp op = ev->op;
    CohNodeId to = coh_set_next(&d->to, 0);
    WireFrame frame = {
        .type = WIRE_COH,
        .sub = d->msg,
        .requester = d->requester,
        .acks = d->acks,
        .addr = ev->page,
    };

    if (d->data) {
        engine_put_page(e, &frame);
    } else if (d->msg == COH_EV_GETS || d->msg == COH_EV_GETM) {
        frame.id = delta_promise(e->delta, ev->page);
    } else {
        frame.id = ev->have;
    }
    if (carries_op(d->msg)) {
        op.operand = d->msg == COH_EV_VALUE ? e->value : op.operand;
        coh_op_encode(&op, bytes);
        frame.payload = bytes;
        frame.len = sizeof(bytes);
    }
    for (; to != COH_NODE_NONE; to = coh_set_next(&d->to, to + 1)) {
        if (to == e->node.id) {
            CohEvent self = {
                .type = d->msg, .from = e->node.id,
                .requester = d->requester, .acks = d->acks, .page = ev->page,
                .have = frame.id, .op = op,
            };
            g_queue_push_tail(&e->local, g_memdup2(&self, sizeof(self)));
        } else {
            STAT_ADD(e, sent_by_type[d->msg], 1);
            if (!engine_gather(e, to, &frame)) {
                engine_send(e, to, &frame);
            }
        }
    }
}

static void page_gone(Engine *e, CohPage page, bool owned)
{
    STAT_ADD(e, pages_resident, -1);
    STAT_ADD(e, pages_owned, -(uint64_t)owned);
    STAT_ADD(e, invalidations, 1);
    /* Order of effects: gone, then translations outdated, then answered. */
    e->listener->revoked(e->opaque, page);
}

static int take_away(Engine *e, const CohEvent *ev, bool owned)
{
    int ret = mem_take(e->mem, ev->page, owned, e->copy);

    if (!ret) {
        page_gone(e, ev->page, owned);
        engine_copied(e, ev, owned);
    }
    return ret;
}

static int install(Engine *e, CohPage page, const void *data, bool writable)
{
    int ret = mem_install(e->mem, page, data, writable);

    if (!ret) {
        STAT_ADD(e, pages_resident, 1);
        if (e->stats.pages_resident > e->stats.pages_resident_max) {
            qatomic_set(&e->stats.pages_resident_max,
                        e->stats.pages_resident);
        }
        STAT_ADD(e, pages_owned, writable);
        engine_evict_installed(e, page);
    }
    return ret;
}

/* Order of effects: written, then translations outdated, then answered. */
static void operate(Engine *e, const CohEvent *ev)
{
    if (engine_is_ahead(e, ev->page)) {
        /* Else this thread waits for itself. */
        engine_ahead_end(e);
    }
    e->value = coh_op_perform(&ev->op, mem_host(e->mem, ev->page));
    STAT_ADD(e, operations, 1);
    if (coh_op_writes(&ev->op)) {
        e->listener->revoked(e->opaque, ev->page);
    }
}

static void not_asked(Engine *e, const CohEvent *ev)
{
    if (ev->from != e->node.id) {
        e->listener->lost(e->opaque, ev->from,
                          "it answers an operation that nobody asked for");
    }
}

static int perform_memory(Engine *e, const CohEvent *ev, const void *data,
                          uint8_t state, CohAct act)
{
    CohPage page = ev->page;
    CohEvent adopt = {
        .type = COH_EV_STORE, .from = e->node.id, .page = page,
    };
    int ret = 0;

    switch (act) {
    case COH_ACT_INSTALL_RO:
        return install(e, page, data, false);
    case COH_ACT_INSTALL_RW:
        return install(e, page, data, true);
    case COH_ACT_INSTALL_ZERO:
        return install(e, page, NULL, true);
    case COH_ACT_INSTALL_KEPT:
        ret = install(e, page, g_hash_table_lookup(e->kept, &page), true);
        g_hash_table_remove(e->kept, &page);
        return ret;
    case COH_ACT_KEEP:
        g_hash_table_insert(e->kept, page_key(page),
                            data ? g_memdup2(data, COH_PAGE_SIZE) : NULL);
        return 0;
    case COH_ACT_UNPROTECT:
        STAT_ADD(e, pages_owned, 1);
        engine_evict_changed(e, page);
        return mem_protect(e->mem, page, 1, true);
    case COH_ACT_PROTECT:
        STAT_ADD(e, pages_owned, -1);
        engine_evict_changed(e, page);
        return engine_is_ahead(e, page) ? 0
               : mem_protect(e->mem, page, 1, false);
    case COH_ACT_COPY:
        memcpy(e->copy, mem_host(e->mem, page), COH_PAGE_SIZE);
        engine_copied(e, ev, state == COH_PEER_M);
        return 0;
    case COH_ACT_TAKE:
        return take_away(e, ev, state == COH_PEER_M);
    case COH_ACT_OPERATE:
        operate(e, ev);
        return 0;
    case COH_ACT_ANSWER:
        if (!engine_wish_answered(e, ev, ev->type == COH_EV_VALUE
                                         ? ev->op.operand : e->value)) {
            not_asked(e, ev);
        }
        return 0;
    case COH_ACT_FETCH:
        if (!engine_wish_refused(e, ev)) {
            not_asked(e, ev);
        }
        return 0;
    case COH_ACT_ZAP:
        ret = mem_zap(e->mem, page);
        page_gone(e, page, false);
        return ret;
    case COH_ACT_WAKE:
        /* Whoever faults on it unseen is woken when that is seen. */
        if (ev->type != COH_EV_INSTALLED || e->awaited) {
            engine_wake(e, page);
        }
        return 0;
    case COH_ACT_ADOPT:
        if (engine_may_adopt(e, page)) {
            engine_event(e, &adopt, NULL);
        }
        return 0;
    default:
        g_assert_not_reached();
    }
}

static bool is_installation(CohAct act)
{
    return act == COH_ACT_INSTALL_RO || act == COH_ACT_INSTALL_RW ||
           act == COH_ACT_INSTALL_ZERO || act == COH_ACT_INSTALL_KEPT ||
           act == COH_ACT_UNPROTECT;
}

static void count_wait(Engine *e, const EngineWait *wait, int64_t ns)
{
    if (wait->state == COH_PEER_S) {
        STAT_ADD(e, wait_upgrade_ns, ns);
    } else if (wait->write) {
        STAT_ADD(e, wait_write_ns, ns);
    } else {
        STAT_ADD(e, wait_read_ns, ns);
    }
}

static void installed(Engine *e, CohPage page)
{
    EngineWait *wait = g_hash_table_lookup(e->waiting, &page);
    int64_t now = get_clock();
    CohEvent ev = {
        .type = COH_EV_INSTALLED, .from = e->node.id, .page = page,
    };

    g_hash_table_remove(e->adopting, &page);
    engine_run_installed(e, page);
    /* Or by somebody whose fault waits for room. */
    e->awaited = (wait && wait->blocked) || e->deferred->len;
    delta_settle(e->delta, page);
    if (wait) {
        trace_distkvm_fetched(page, wait->write, wait->remote,
                              now - wait->since_ns);
        hold_installed(&e->hold, page, wait->tid, now);
        if (!wait->along) {
            count_wait(e, wait, now - wait->since_ns);
        }
        if (wait->remote) {
            hold_fetched(&e->hold, now - wait->since_ns);
        }
        g_hash_table_remove(e->waiting, &page);
    }
    engine_event(e, &ev, NULL);
}

static void perform(Engine *e, const CohEvent *ev, const void *data,
                    const CohActions *acts)
{
    bool complete = false;

    if (acts->home && coh_home_is_busy(acts->next) &&
        !coh_home_is_busy(acts->state)) {
        engine_service_begins(e, ev->page, ev->from);
    } else if (!acts->home && engine_is_fetching(acts->next) &&
               !engine_is_fetching(acts->state)) {
        engine_fetch_begins(e, ev->page);
    }
    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];
        int ret;

        if (d->act == COH_ACT_NONE) {
            if (acts->home && engine_sets_to_work(d->msg)) {
                engine_asked(e, ev->page, &d->to);
            }
            send_message(e, ev, d);
            continue;
        }
        ret = perform_memory(e, ev, data, acts->state, d->act);
        if (ret < 0) {
            g_autofree char *why =
                g_strdup_printf("page 0x%" PRIx64 ": %s: %s", ev->page,
                                coh_act_name(d->act), strerror(-ret));
            e->copy_is_new = false;
            engine_break(e, why);
            return;
        }
        complete |= is_installation(d->act);
    }
    engine_keep_copied(e, ev->page);
    if (complete) {
        installed(e, ev->page);
    }
}

/* -------------------------------------------------------------- events */

static gint by_sender(gconstpointer a, gconstpointer b)
{
    const CohEvent *x = a, *y = b;

    return x->from != y->from ||
           (x->type == COH_EV_GETV) != (y->type == COH_EV_GETV);
}

/*
 * A node asks once for a page, and for one operation on it, and waits: the
 * queue is short.
 */
static void stall(Engine *e, const CohEvent *ev)
{
    GQueue *queue = g_hash_table_lookup(e->stalled, &ev->page);

    if (queue && g_queue_find_custom(queue, ev, by_sender)) {
        e->listener->lost(e->opaque, ev->from,
                          "it asked twice for the same page");
        return;
    }
    if (!queue) {
        queue = g_queue_new();
        g_hash_table_insert(e->stalled, page_key(ev->page), queue);
    }
    g_queue_push_tail(queue, g_memdup2(ev, sizeof(*ev)));
}

/* The home of @page serves nobody: the oldest stalled request is next. */
static void unstall(Engine *e, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(e->stalled, &page);

    if (queue) {
        g_queue_push_tail(&e->local, g_queue_pop_head(queue));
        if (g_queue_is_empty(queue)) {
            g_queue_free(queue);
            g_hash_table_remove(e->stalled, &page);
        }
    }
}

void engine_event(Engine *e, const CohEvent *ev, const void *data)
{
    CohActions acts;
    CohStatus status = coh_step(&e->node, ev, &acts);

    trace_distkvm_coh_step(e->node.id, ev->page, coh_event_name(ev->type),
                           ev->from, ev->requester, ev->acks,
                           acts.home ? coh_home_state_name(acts.state)
                                     : coh_peer_state_name(acts.state),
                           acts.home ? coh_home_state_name(acts.next)
                                     : coh_peer_state_name(acts.next),
                           status);
    switch (status) {
    case COH_OK:
        perform(e, ev, data, &acts);
        if (!acts.home) {
            engine_pursue_wishes(e, ev->page);
        } else if (ev->type == COH_EV_DONE ||
                   (ev->type == COH_EV_GETV &&
                    !coh_home_is_busy(acts.next))) {
            unstall(e, ev->page);
        }
        break;
    case COH_STALLED:
        stall(e, ev);
        break;
    case COH_BROKEN:
        if (ev->from != e->node.id && ev->from < e->config.map->nodes) {
            e->listener->lost(e->opaque, ev->from, acts.why);
        } else {
            engine_break(e, acts.why);
        }
        break;
    }
}

bool engine_run_local(Engine *e)
{
    CohEvent *ev = g_queue_pop_head(&e->local);

    if (!ev) {
        return false;
    }
    do {
        engine_event_or_hold(e, ev, NULL);
        g_free(ev);
    } while ((ev = g_queue_pop_head(&e->local)));
    return true;
}

static bool is_page(Engine *e, CohPage page, const char **why)
{
    if (page < e->config.map->pages && engine_is_mine(e, page)) {
        return true;
    }
    *why = "named a page that does not exist, or of another lane";
    return false;
}

/* A list of requests: each as if it had come alone. */
static bool several_pages(Engine *e, const WireFrame *frame, CohEvent *ev,
                          const char **why)
{
    bool cork = e->config.walks_write || frame->arg >= CORK_PAGES;
    bool valid = false;

    if (!engine_gather_is_valid(frame)) {
        *why = "sent a list of pages that cannot be read";
        return false;
    }
    cluster_clock_observe(frame->clock_ns);
    if (cork) {
        engine_cork(e);
    }
    /* What is under way may write to these pages: that first. */
    engine_run_local(e);
    engine_protect_ahead(e, frame);
    for (unsigned n = 0; is_page(e, ev->page, why); n++) {
        engine_event(e, ev, NULL);
        if (n == frame->arg) {
            valid = true;
            break;
        }
        engine_gathered(frame, n, ev);
    }
    engine_run_local(e);
    engine_ahead_end(e);
    if (cork) {
        engine_uncork(e);
    }
    return valid;
}

/*
 * Until what came is kept, nothing may be promised of it: else two contents
 * would go by one version.
 */
static void take_page(Engine *e, const WireFrame *frame, const CohEvent *ev,
                      const void *page)
{
    e->pursuing = true;
    engine_event_or_hold(e, ev, page);
    engine_keep_got(e, frame, page);
    e->pursuing = false;
    engine_pursue_wishes(e, ev->page);
}

static bool answers_request(uint8_t type)
{
    return type == COH_EV_DATA_S || type == COH_EV_DATA_M ||
           type == COH_EV_ZERO || type == COH_EV_GRANT || type == COH_EV_ACK;
}

bool engine_coh_frame(Engine *e, const WireFrame *frame, const char **why)
{
    CohEvent ev = {
        .type = frame->sub,
        .from = frame->from,
        .requester = frame->requester,
        .acks = frame->acks,
        .page = frame->addr,
        .have = frame->id,
    };
    const void *page = NULL;
    bool data = ev.type == COH_EV_DATA_S || ev.type == COH_EV_DATA_M;

    if (!coh_event_is_message(ev.type)) {
        *why = "sent an unknown message";
        return false;
    }
    if (frame->arg) {
        return several_pages(e, frame, &ev, why);
    }
    if (!is_page(e, ev.page, why)) {
        return false;
    }
    if (data ? !engine_get_page(e, frame, &page) :
        carries_op(ev.type) ? !coh_op_decode(frame->payload, frame->len,
                                             &ev.op) : frame->len > 0) {
        *why = "sent a page or an operation that cannot be put together";
        return false;
    }
    /*
     * The guest must not see the effects of this before its clock has
     * reached what the sender saw.
     */
    cluster_clock_observe(frame->clock_ns);
    if (answers_request(ev.type)) {
        engine_heard(e, ev.page, ev.from);
    }
    if (data) {
        take_page(e, frame, &ev, page);
    } else {
        engine_event_or_hold(e, &ev, NULL);
    }
    return true;
}
