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

void engine_send(Engine *e, CohNodeId to, WireFrame *frame)
{
    uint8_t head[WIRE_HEAD_BYTES];

    frame->from = e->node.id;
    frame->clock_ns = cluster_clock_ns();
    wire_encode_head(frame, head);
    trace_distkvm_send(to, frame->type, frame->sub, frame->addr, frame->len);
    STAT_ADD(e, frames_sent, 1);
    STAT_ADD(e, bytes_sent, WIRE_HEAD_BYTES + frame->len);
    e->transport->ops->send(e->transport, to, head, sizeof(head),
                            frame->payload, frame->len);
    if (e->alone && frame->type == WIRE_COH &&
        engine_sets_to_work(frame->sub)) {
        e->transport->ops->push(e->transport, to);
    }
}

void engine_cork(Engine *e)
{
    if (!e->corks++) {
        e->transport->ops->cork(e->transport, true);
    }
}

void engine_uncork(Engine *e)
{
    if (!--e->corks) {
        e->transport->ops->cork(e->transport, false);
    }
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
    e->listener->lost(e->opaque, peer, why);
}

/* False: its sender is expelled, and nothing more is taken from it. */
static bool engine_frame(Engine *e, const WireFrame *frame)
{
    Phase phase = e->joined ? PHASE_FORMED : PHASE_JOINED;
    const char *why = rules_frame(frame, e->node.id, phase);

    STAT_ADD(e, frames_received, 1);
    trace_distkvm_recv(frame->from, frame->type, frame->sub, frame->addr,
                       frame->len);
    if (!cluster_clock_may_be(frame->clock_ns)) {
        blame(e, frame->from, "its clock is absurd");
        return false;
    }
    /* After a loss, too: those that are left are not lost. */
    if (!why && frame->type == WIRE_PING) {
        cluster_clock_observe(frame->clock_ns);
        engine_ping_frame(e, frame);
        return true;
    }
    if (e->failed) {
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
        engine_late_frame(e, frame);
    } else {
        cluster_clock_observe(frame->clock_ns);
        e->listener->frame(e->opaque, frame);
        frame_count_received(&e->frames, frame);
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

    STAT_ADD(e, bytes_received, len);
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
            e->alone = !len;
            engine_cork(e);
        }
        if (!engine_frame(e, &frame)) {
            break;
        }
    }
    /* Now: UCX has more to do before it comes back. */
    engine_run_local(e);
    if (e->told) {
        /* Whoever was woken wants more: that goes with what is sent now. */
        engine_run_faults(e);
    }
    if (corked) {
        e->alone = false;
        engine_uncork(e);
    }
}

static void engine_peer_closed(void *opaque, CohNodeId peer, const char *why)
{
    Engine *e = opaque;
    g_autofree char *text = g_strdup_printf("lane %u: %s", e->lane, why);

    e->listener->closed(e->opaque, peer, text);
}

const TransportListener engine_transport_listener = {
    .frames = engine_frames,
    .lost = engine_peer_closed,
};
