/*
 * distkvm: the part of a lane that takes frames
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/trace.h"
#include "accel/distkvm/wire/rules.h"
#include "inbox.h"

/*
 * Cork only long lists: with short ones the first page is wanted before the
 * last is ready.
 */
#define CORK_PAGES 16
/* Bounds transport polls per pass, so that nothing else starves. */
#define POLLS_MAX 32

static void inbox_init(void *part, LaneCtx *ctx)
{
    Inbox *inbox = part;

    inbox->ctx = ctx;
}

void inbox_admit(Inbox *inbox, CohNodeId peer)
{
    coh_set_remove(&inbox->expelled, peer);
}

/* Nothing more is taken from @peer, which this says once. */
static void G_GNUC_PRINTF(3, 4)
blame(Inbox *inbox, CohNodeId peer, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    coh_set_add(&inbox->expelled, peer);
    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    lane_lose(inbox->ctx, peer, why);
}

/*
 * ---------------------------------------------------- frames of the protocol
 */

static bool is_page(const LaneCtx *ctx, CohPage page, const char **why)
{
    if (page < lane_page_end(ctx) && lane_owns(ctx, page)) {
        return true;
    }
    *why = "named a page that does not exist, or of another lane";
    return false;
}

/* A list of requests: each as if it had come alone. */
static bool take_list(Inbox *inbox, const WireFrame *frame, CohEvent *ev,
                      const char **why)
{
    const LaneCtx *ctx = inbox->ctx;
    /* A page walk needs all its tables. */
    bool cork = ctx->config->walks_write || frame->coh.more >= CORK_PAGES;
    bool valid = false;

    if (!page_list_is_valid(frame)) {
        *why = "sent a list of pages that cannot be read";
        return false;
    }
    cluster_clock_observe(frame->clock_ns);
    if (cork) {
        outbox_cork(inbox->outbox);
    }
    /* Events under way may lead to writes to these pages: those first. */
    requests_run_events(inbox->requests);
    preprotect_begin(inbox->preprotect, frame);
    for (unsigned n = 0; is_page(ctx, ev->page, why); n++) {
        PageListItem item;

        executor_event(inbox->executor, ev, NULL);
        if (n == frame->coh.more) {
            valid = true;
            break;
        }
        item = page_list_get(frame, n);
        ev->page = item.page;
        ev->have = item.version;
    }
    requests_run_events(inbox->requests);
    preprotect_end(inbox->preprotect);
    if (cork) {
        outbox_uncork(inbox->outbox);
    }
    return valid;
}

/*
 * Requests name the snapshot we have.  Store the new one before any request
 * can name the old: so before requests_run_moved().
 */
static void take_page(Inbox *inbox, const WireFrame *frame,
                      const CohEvent *ev, const void *page)
{
    deliver_event(inbox->deliver, ev, page);
    codec_store_received(inbox->codec, frame, page);
}

static bool carries_page(uint8_t type)
{
    return type == COH_EV_DATA_S || type == COH_EV_DATA_M;
}

static bool answers_request(uint8_t type)
{
    return carries_page(type) || type == COH_EV_ZERO ||
           type == COH_EV_GRANT || type == COH_EV_ACK;
}

/* The body of @frame: a page, an operation, or nothing. */
static bool decode_body(Inbox *inbox, const WireFrame *frame, CohEvent *ev,
                        const void **page)
{
    if (carries_page(ev->type)) {
        return codec_get_page(inbox->codec, frame, page);
    }
    if (executor_carries_op(ev->type)) {
        ev->epoch = frame->epoch;
        return coh_op_decode(frame->payload, frame->len,
                             ev->type == COH_EV_VALUE, &ev->op, &ev->bytes);
    }
    return !frame->len;
}

/* False if @frame is nonsense, and @why says so. */
static bool take_coh(Inbox *inbox, const WireFrame *frame, const char **why)
{
    CohEvent ev = {
        .type = frame->sub,
        .from = frame->from,
        .requester = frame->coh.requester,
        .acks = frame->coh.acks,
        .page = frame->coh.page,
        .have = frame->coh.version,
    };
    const void *page = NULL;

    if (!coh_event_is_message(ev.type)) {
        *why = "sent an unknown message";
        return false;
    }
    if (frame->coh.more) {
        return take_list(inbox, frame, &ev, why);
    }
    if (!is_page(inbox->ctx, ev.page, why)) {
        return false;
    }
    if (!decode_body(inbox, frame, &ev, &page)) {
        *why = "sent a page or an operation that cannot be put together";
        return false;
    }
    /*
     * The guest must not see the effects of this before its clock has
     * reached the sender's.
     */
    cluster_clock_observe(frame->clock_ns);
    if (answers_request(ev.type)) {
        late_heard(inbox->late, ev.page, ev.from);
    }
    if (carries_page(ev.type)) {
        take_page(inbox, frame, &ev, page);
    } else {
        deliver_event(inbox->deliver, &ev, NULL);
    }
    return true;
}

/* ------------------------------------------------------------- all frames */

/* False: its sender is expelled, and nothing more is taken from it. */
static bool take_frame(Inbox *inbox, const WireFrame *frame)
{
    LaneCtx *ctx = inbox->ctx;
    Phase phase = ctx->phase == LANE_ALONE ? PHASE_JOINED : PHASE_FORMED;
    const char *why = rules_frame(frame, ctx->node->id, phase);

    STAT_ADD(ctx, frames_received, 1);
    trace_distkvm_recv(frame->from, frame->type, frame->sub,
                       wire_address(frame), frame->len);
    if (!cluster_clock_may_be(frame->clock_ns)) {
        blame(inbox, frame->from, "its clock is absurd");
        return false;
    }
    /* After a loss, too: the nodes that are left are not lost. */
    if (!why && frame->type == WIRE_PING) {
        cluster_clock_observe(frame->clock_ns);
        alive_frame(inbox->alive, frame);
        return true;
    }
    if (ctx->phase == LANE_FAILED) {
        return true;
    }
    if (why) {
        blame(inbox, frame->from, "it sent %s (type %u, kind %u)", why,
              frame->type, frame->sub);
        return false;
    }
    if (frame->type == WIRE_COH) {
        if (!take_coh(inbox, frame, &why)) {
            blame(inbox, frame->from, "it %s", why);
            return false;
        }
        /*
         * A direct call and no hook, because its order is correctness: the
         * operation of a request that was refused, and has got its page, is
         * done before the next frame may take the page.
         */
        requests_run_moved(inbox->requests);
    } else if (frame->type == WIRE_LATE) {
        late_frame(inbox->late, frame);
    } else {
        cluster_clock_observe(frame->clock_ns);
        ctx->host->frame(ctx->opaque, frame);
        frame_count_received(inbox->frames, frame);
    }
    return true;
}

/* The next frame of @peer in the *@len bytes at *@at; false: blamed. */
static bool next_frame(Inbox *inbox, CohNodeId peer, const uint8_t **at,
                       size_t *len, WireFrame *frame)
{
    if (!wire_next(at, len, frame)) {
        trace_distkvm_bad_frame(*len);
        blame(inbox, peer, "it sent a frame that cannot be read");
        return false;
    }
    if (frame->from != peer) {
        blame(inbox, peer, "it sent a frame as node %u", frame->from);
        return false;
    }
    return true;
}

/*
 * Answers to frames that came together, or to one alone, go together.  A list
 * of pages has rules of its own: see take_list().
 */
static void inbox_frames(void *opaque, CohNodeId peer, const void *buf,
                         size_t len)
{
    Inbox *inbox = opaque;
    const uint8_t *at = buf;
    bool corked = false;
    WireFrame frame;

    STAT_ADD(inbox->ctx, bytes_received, len);
    if (coh_set_has(&inbox->expelled, peer)) {
        return;
    }
    while (len && next_frame(inbox, peer, &at, &len, &frame)) {
        if (!corked &&
            (len || frame.type != WIRE_COH || !frame.coh.more)) {
            corked = true;
            outbox_cork(inbox->outbox);
            if (!len) {
                outbox_answer_single(inbox->outbox);
            }
        }
        if (!take_frame(inbox, &frame)) {
            break;
        }
    }
    /* Now: UCX has more to do before it comes back. */
    requests_run_events(inbox->requests);
    if (inbox->ctx->faults_pending) {
        /* A woken thread may want its next page: asked for in this message. */
        faults_read(inbox->faults);
    }
    if (corked) {
        outbox_uncork(inbox->outbox);
    }
}

static void inbox_closed(void *opaque, CohNodeId peer, const char *why)
{
    Inbox *inbox = opaque;
    LaneCtx *ctx = inbox->ctx;
    g_autofree char *text = g_strdup_printf("lane %u: %s", ctx->lane, why);

    ctx->host->closed(ctx->opaque, peer, text);
}

const TransportListener inbox_listener = {
    .frames = inbox_frames,
    .lost = inbox_closed,
};

static bool inbox_run(void *part)
{
    Inbox *inbox = part;
    bool any = false;

    for (int i = 0; i < POLLS_MAX; i++) {
        Transport *transport = inbox->ctx->transport;

        if (!transport->ops->poll(transport)) {
            break;
        }
        requests_run_events(inbox->requests);
        any = true;
    }
    return any;
}

const LanePart inbox_part = {
    .init = inbox_init,
    .run = inbox_run,
};
