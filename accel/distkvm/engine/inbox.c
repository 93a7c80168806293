/*
 * distkvm: the engine's frames, out and in
 *
 * What one frame makes a node say to a peer leaves in one message: two of them
 * cost the sender twice over TCP.  Frames that make a third node work do not
 * wait for that.  Engine thread only.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/wire/rules.h"
#include "engine-internal.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/trace.h"

/*
 * Of fewer pages the first is wanted too soon for it to wait for the next; but
 * a walk needs all its tables.
 */
#define CORK_PAGES 16

bool engine_run_local(Engine *e)
{
    CohEvent *ev = g_queue_pop_head(&e->ctx.events);

    if (!ev) {
        return false;
    }
    do {
        deliver_event(&e->deliver, ev, NULL);
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
        executor_event(&e->executor, ev, NULL);
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
    deliver_event(&e->deliver, ev, page);
    codec_store_received(&e->codec, frame, page);
    e->pursuing = false;
    engine_pursue_wishes(e, ev->page);
}

static bool answers_request(uint8_t type)
{
    return type == COH_EV_DATA_S || type == COH_EV_DATA_M ||
           type == COH_EV_ZERO || type == COH_EV_GRANT || type == COH_EV_ACK;
}

static bool engine_coh_frame(Engine *e, const WireFrame *frame, const char **why)
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
        executor_carries_op(ev.type) ? !coh_op_decode(frame->payload, frame->len,
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
        late_heard(&e->late, ev.page, ev.from);
    }
    if (data) {
        take_page(e, frame, &ev, page);
    } else {
        deliver_event(&e->deliver, &ev, NULL);
    }
    return true;
}

/* Nothing more is taken from @peer, which this says once. */
static void G_GNUC_PRINTF(3, 4)
blame(Engine *e, CohNodeId peer, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    coh_set_add(&e->expelled, peer);

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    e->ctx.host->lost(e->ctx.opaque, peer, why);
}

/* False: its sender is expelled, and nothing more is taken from it. */
static bool engine_frame(Engine *e, const WireFrame *frame)
{
    Phase phase = e->ctx.phase == LANE_ALONE ? PHASE_JOINED : PHASE_FORMED;
    const char *why = rules_frame(frame, e->ctx.node->id, phase);

    STAT_ADD(&e->ctx, frames_received, 1);
    trace_distkvm_recv(frame->from, frame->type, frame->sub, frame->addr,
                       frame->len);
    if (!cluster_clock_may_be(frame->clock_ns)) {
        blame(e, frame->from, "its clock is absurd");
        return false;
    }
    /* After a loss, too: those that are left are not lost. */
    if (!why && frame->type == WIRE_PING) {
        cluster_clock_observe(frame->clock_ns);
        alive_frame(&e->alive, frame);
        return true;
    }
    if (e->ctx.phase == LANE_FAILED) {
        return true;
    }
    if (why) {
        blame(e, frame->from, "it sent %s (type %u, kind %u)", why,
              frame->type, frame->sub);
        return false;
    }
    if (frame->type == WIRE_COH) {
        if (!engine_coh_frame(e, frame, &why)) {
            blame(e, frame->from, "it %s", why);
            return false;
        }
    } else if (frame->type == WIRE_LATE) {
        late_frame(&e->late, frame);
    } else {
        cluster_clock_observe(frame->clock_ns);
        e->ctx.host->frame(e->ctx.opaque, frame);
    }
    return true;
}

/*
 * What is answered to frames that came together, or to one alone, goes
 * together.  A list of pages has rules of its own: see several_pages().
 */
static void engine_frames(void *opaque, CohNodeId peer, const void *buf,
                          size_t len)
{
    Engine *e = opaque;
    const uint8_t *at = buf;
    bool corked = false;
    WireFrame frame;

    STAT_ADD(&e->ctx, bytes_received, len);
    if (coh_set_has(&e->expelled, peer)) {
        return;
    }
    while (len) {
        if (!wire_next(&at, &len, &frame)) {
            trace_distkvm_bad_frame(len);
            blame(e, peer, "it sent a frame that cannot be read");
            break;
        }
        if (frame.from != peer) {
            blame(e, peer, "it sent a frame as node %u", frame.from);
            break;
        }
        if (!corked && (len || !frame.arg)) {
            corked = true;
            outbox_cork(&e->outbox);
            if (!len) {
                outbox_answer_single(&e->outbox);
            }
        }
        if (!engine_frame(e, &frame)) {
            break;
        }
    }
    /* Now: UCX has more to do before it comes back. */
    engine_run_local(e);
    if (e->ctx.faults_pending) {
        /* Whoever was woken wants more: that goes with what is sent now. */
        faults_read(&e->faults);
    }
    if (corked) {
        outbox_uncork(&e->outbox);
    }
}

static void engine_peer_closed(void *opaque, CohNodeId peer, const char *why)
{
    Engine *e = opaque;
    g_autofree char *text = g_strdup_printf("lane %u: %s", e->ctx.lane, why);

    e->ctx.host->closed(e->ctx.opaque, peer, text);
}

const TransportListener engine_transport_listener = {
    .frames = engine_frames,
    .lost = engine_peer_closed,
};
