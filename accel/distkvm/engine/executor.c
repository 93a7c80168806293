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
    const ClusterMap *map = &e->ctx.config->map;

    lane_ctx_init(&e->ctx);
    e->ctx.node = &front->node;
    e->heat = front->heat;
    if (e == front) {
        e->node.id = e->ctx.config->id;
        e->node.map = map;
        e->node.peer = g_malloc0(coh_node_peer_bytes(map));
        e->node.home = g_malloc0(coh_node_home_bytes(map, e->node.id));
        e->heat = g_new0(uint16_t, map->page_first[map->nodes]);
        e->ctx.stats.pages_home = map->page_first[e->ctx.node->id + 1] -
                              map->page_first[e->ctx.node->id];
    }
    e->kept = g_hash_table_new_full(page_hash, g_int64_equal, g_free, g_free);
    e->wishes = g_hash_table_new_full(page_hash, g_int64_equal, g_free,
                                      (GDestroyNotify)g_queue_free);
    e->wish_due_ns = INT64_MAX;
    engine_held_init(e);
    e->waiters.hold = &e->hold;
    waiters_part.init(&e->waiters, &e->ctx);
    wakeup_part.init(&e->wakeup, &e->ctx);
    stalled_part.init(&e->stalled, &e->ctx);
    preprotect_part.init(&e->preprotect, &e->ctx);
    engine_evict_init(e, front);
    e->codec.pagewalk = &e->pagewalk;
    codec_part.init(&e->codec, &e->ctx);
    e->early = g_array_new(false, false, sizeof(CohPage));
    engine_late_init(e);
    e->lent = g_hash_table_new(NULL, NULL);
}

void engine_coh_free(Engine *e)
{
    g_hash_table_unref(e->kept);
    waiters_part.free(&e->waiters);
    wakeup_part.free(&e->wakeup);
    stalled_part.free(&e->stalled);
    g_hash_table_unref(e->wishes);
    engine_held_free(e);
    g_array_unref(e->early);
    engine_late_free(e);
    g_hash_table_unref(e->lent);
    engine_evict_free(e);
    codec_part.free(&e->codec);
    lane_ctx_free(&e->ctx);
    if (!e->ctx.lane) {
        g_free(e->node.peer);
        g_free(e->node.home);
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
        codec_put_page(&e->codec, &frame);
    } else if (d->msg == COH_EV_GETS || d->msg == COH_EV_GETM) {
        frame.id = codec_pin_version(&e->codec, ev->page);
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
        if (to == e->ctx.node->id) {
            CohEvent self = {
                .type = d->msg, .from = e->ctx.node->id,
                .requester = d->requester, .acks = d->acks, .page = ev->page,
                .have = frame.id, .op = op,
            };
            lane_submit(&e->ctx, &self);
        } else {
            STAT_ADD(&e->ctx, sent_by_type[d->msg], 1);
            outbox_send_request(&e->outbox, to, &frame);
        }
    }
}

static void page_gone(Engine *e, CohPage page, bool owned)
{
    STAT_ADD(&e->ctx, pages_resident, -1);
    STAT_ADD(&e->ctx, pages_owned, -(uint64_t)owned);
    STAT_ADD(&e->ctx, invalidations, 1);
    /* Order of effects: gone, then translations outdated, then answered. */
    e->ctx.host->revoked(e->ctx.opaque, page);
}

static int take_away(Engine *e, const CohEvent *ev, bool owned)
{
    int ret = mem_take(e->ctx.mem, ev->page, owned, e->codec.copy);

    if (!ret) {
        page_gone(e, ev->page, owned);
        codec_copied(&e->codec, ev, owned);
    }
    return ret;
}

static int install(Engine *e, CohPage page, const void *data, bool writable)
{
    int ret = mem_install(e->ctx.mem, page, data, writable);

    if (!ret) {
        STAT_ADD(&e->ctx, pages_resident, 1);
        if (e->ctx.stats.pages_resident > e->ctx.stats.pages_resident_max) {
            qatomic_set(&e->ctx.stats.pages_resident_max,
                        e->ctx.stats.pages_resident);
        }
        STAT_ADD(&e->ctx, pages_owned, writable);
        engine_evict_installed(e, page);
    }
    return ret;
}

/* Order of effects: written, then translations outdated, then answered. */
static void operate(Engine *e, const CohEvent *ev)
{
    if (preprotect_has(&e->preprotect, ev->page)) {
        /* Else this thread waits for itself. */
        preprotect_end(&e->preprotect);
    }
    e->value = coh_op_perform(&ev->op, mem_host(e->ctx.mem, ev->page));
    STAT_ADD(&e->ctx, operations, 1);
    if (coh_op_writes(&ev->op)) {
        e->ctx.host->revoked(e->ctx.opaque, ev->page);
    }
}

static void not_asked(Engine *e, const CohEvent *ev)
{
    if (ev->from != e->ctx.node->id) {
        e->ctx.host->lost(e->ctx.opaque, ev->from,
                          "it answers an operation that nobody asked for");
    }
}

static int perform_memory(Engine *e, const CohEvent *ev, const void *data,
                          uint8_t state, CohAct act)
{
    CohPage page = ev->page;
    CohEvent adopt = {
        .type = COH_EV_STORE, .from = e->ctx.node->id, .page = page,
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
        STAT_ADD(&e->ctx, pages_owned, 1);
        engine_evict_changed(e, page);
        return mem_protect(e->ctx.mem, page, 1, true);
    case COH_ACT_PROTECT:
        STAT_ADD(&e->ctx, pages_owned, -1);
        engine_evict_changed(e, page);
        return preprotect_has(&e->preprotect, page) ? 0
               : mem_protect(e->ctx.mem, page, 1, false);
    case COH_ACT_COPY:
        memcpy(e->codec.copy, mem_host(e->ctx.mem, page), COH_PAGE_SIZE);
        codec_copied(&e->codec, ev, state == COH_PEER_M);
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
        ret = mem_zap(e->ctx.mem, page);
        page_gone(e, page, false);
        return ret;
    case COH_ACT_WAKE:
        /*
         * A fault not yet read from the userfaultfd is woken when it is
         * read.
         */
        if (ev->type != COH_EV_INSTALLED || e->has_waiter) {
            wakeup_page(&e->wakeup, page);
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

static void installed(Engine *e, CohPage page)
{
    CohEvent ev = {
        .type = COH_EV_INSTALLED, .from = e->ctx.node->id, .page = page,
    };

    g_hash_table_remove(e->adopting, &page);
    wakeup_installed(&e->wakeup, page);
    e->has_waiter = waiters_installed(&e->waiters, page);
    codec_unpin_version(&e->codec, page);
    engine_event(e, &ev, NULL);
}

static void perform(Engine *e, const CohEvent *ev, const void *data,
                    const CohActions *acts)
{
    bool complete = false;

    if (acts->home && coh_home_is_busy(acts->next) &&
        !coh_home_is_busy(acts->state)) {
        engine_service_begins(e, ev->page, ev->from);
    } else if (!acts->home && lane_is_fetching(acts->next) &&
               !lane_is_fetching(acts->state)) {
        engine_fetch_begins(e, ev->page);
    }
    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];
        int ret;

        if (d->act == COH_ACT_NONE) {
            if (acts->home && lane_is_for_holder(d->msg)) {
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
            codec_drop_copy(&e->codec);
            lane_break(&e->ctx, why);
            return;
        }
        complete |= is_installation(d->act);
    }
    codec_store_sent(&e->codec, ev->page);
    if (complete) {
        installed(e, ev->page);
    }
}

/* -------------------------------------------------------------- events */

void engine_event(Engine *e, const CohEvent *ev, const void *data)
{
    CohActions acts;
    CohStatus status = coh_step(e->ctx.node, ev, &acts);

    trace_distkvm_coh_step(e->ctx.node->id, ev->page, coh_event_name(ev->type),
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
            stalled_next(&e->stalled, ev->page);
        }
        break;
    case COH_STALLED:
        stalled_add(&e->stalled, ev);
        break;
    case COH_BROKEN:
        if (ev->from != e->ctx.node->id && ev->from < e->ctx.config->map.nodes) {
            e->ctx.host->lost(e->ctx.opaque, ev->from, acts.why);
        } else {
            lane_break(&e->ctx, acts.why);
        }
        break;
    }
}

bool engine_run_local(Engine *e)
{
    CohEvent *ev = g_queue_pop_head(&e->ctx.events);

    if (!ev) {
        return false;
    }
    do {
        engine_event_or_hold(e, ev, NULL);
        g_free(ev);
    } while ((ev = g_queue_pop_head(&e->ctx.events)));
    return true;
}

static bool is_page(Engine *e, CohPage page, const char **why)
{
    if (page < e->ctx.config->map.page_first[e->ctx.config->map.nodes] &&
        lane_owns(&e->ctx, page)) {
        return true;
    }
    *why = "named a page that does not exist, or of another lane";
    return false;
}

/* A list of requests: each as if it had come alone. */
static bool several_pages(Engine *e, const WireFrame *frame, CohEvent *ev,
                          const char **why)
{
    bool cork = e->ctx.config->walks_write || frame->arg >= CORK_PAGES;
    bool valid = false;
    PageListItem item;

    if (!page_list_is_valid(frame)) {
        *why = "sent a list of pages that cannot be read";
        return false;
    }
    cluster_clock_observe(frame->clock_ns);
    if (cork) {
        outbox_cork(&e->outbox);
    }
    /* What is under way may write to these pages: that first. */
    engine_run_local(e);
    preprotect_begin(&e->preprotect, frame);
    for (unsigned n = 0; is_page(e, ev->page, why); n++) {
        engine_event(e, ev, NULL);
        if (n == frame->arg) {
            valid = true;
            break;
        }
        item = page_list_get(frame, n);
        ev->page = item.page;
        ev->have = item.version;
    }
    engine_run_local(e);
    preprotect_end(&e->preprotect);
    if (cork) {
        outbox_uncork(&e->outbox);
    }
    return valid;
}

/*
 * Until what came is kept, nothing may be pinned of it: else two contents
 * would go by one version.
 */
static void take_page(Engine *e, const WireFrame *frame, const CohEvent *ev,
                      const void *page)
{
    e->pursuing = true;
    engine_event_or_hold(e, ev, page);
    codec_store_received(&e->codec, frame, page);
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
    if (data ? !codec_get_page(&e->codec, frame, &page) :
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
