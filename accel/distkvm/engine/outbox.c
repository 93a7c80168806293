/*
 * distkvm: the part of a lane that sends frames
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/trace.h"
#include "accel/distkvm/wire/wire.h"
#include "outbox.h"

static void outbox_init(void *part, LaneCtx *ctx)
{
    Outbox *outbox = part;

    outbox->ctx = ctx;
}

static EngineBytes kind_of(const WireFrame *frame)
{
    if (frame->type != WIRE_COH) {
        return frame->type == WIRE_LATE ? ENGINE_BYTES_PROTOCOL
                                        : ENGINE_BYTES_SERVICES;
    }
    switch (frame->sub) {
    case COH_EV_DATA_S:
    case COH_EV_DATA_M:
        return frame->len == COH_PAGE_SIZE ? ENGINE_BYTES_PAGES :
               frame->len ? ENGINE_BYTES_BLOCKS : ENGINE_BYTES_PROTOCOL;
    case COH_EV_GETV:
    case COH_EV_FWD_GETV:
    case COH_EV_VALUE:
        return ENGINE_BYTES_OPERATIONS;
    default:
        return ENGINE_BYTES_PROTOCOL;
    }
}

void outbox_send(Outbox *outbox, CohNodeId to, WireFrame *frame)
{
    LaneCtx *ctx = outbox->ctx;
    Transport *transport = ctx->transport;
    uint8_t head[WIRE_FRONT_MAX];
    size_t head_len;

    frame->from = ctx->node->id;
    frame->clock_ns = cluster_clock_ns();
    head_len = wire_encode(frame, head);
    trace_distkvm_send(to, frame->type, frame->sub, wire_address(frame),
                       frame->len);
    STAT_ADD(ctx, frames_sent, 1);
    STAT_ADD(ctx, bytes_sent, head_len + frame->len);
    STAT_ADD(ctx, sent_by_kind[kind_of(frame)], head_len + frame->len);
    transport->ops->send(transport, to, head, head_len, frame->payload,
                         frame->len);
    if (outbox->single_frame && frame->type == WIRE_COH &&
        lane_is_for_holder(frame->sub)) {
        transport->ops->push(transport, to);
    }
}

/* --------------------------------------------------------------- batches */

static void flush(Outbox *outbox)
{
    unsigned others = outbox->n_batched - 1;

    if (outbox->n_batched) {
        outbox->first.coh.more = others;
        outbox->first.len = others * PAGE_LIST_ITEM_BYTES;
        outbox->first.payload = outbox->others;
        outbox_send(outbox, outbox->to, &outbox->first);
        outbox->n_batched = 0;
    }
}

void outbox_begin_batch(Outbox *outbox)
{
    outbox->batching = true;
}

void outbox_end_batch(Outbox *outbox)
{
    flush(outbox);
    outbox->batching = false;
}

void outbox_send_request(Outbox *outbox, CohNodeId to, WireFrame *frame)
{
    if (!outbox->batching ||
        (frame->sub != COH_EV_GETS && frame->sub != COH_EV_GETM)) {
        outbox_send(outbox, to, frame);
        return;
    }
    if (outbox->n_batched &&
        (outbox->to != to || outbox->first.sub != frame->sub ||
         outbox->n_batched == PAGE_LIST_MAX)) {
        flush(outbox);
    }
    if (!outbox->n_batched) {
        outbox->to = to;
        outbox->first = *frame;
    } else {
        PageListItem item = {
            .page = frame->coh.page, .version = frame->coh.version,
        };

        page_list_put(outbox->others, outbox->n_batched - 1, &item);
    }
    outbox->n_batched++;
}

/* ----------------------------------------------------------------- corks */

void outbox_cork(Outbox *outbox)
{
    Transport *transport = outbox->ctx->transport;

    if (!outbox->corks++) {
        transport->ops->cork(transport, true);
    }
}

void outbox_uncork(Outbox *outbox)
{
    Transport *transport = outbox->ctx->transport;

    if (!--outbox->corks) {
        outbox->single_frame = false;
        transport->ops->cork(transport, false);
    }
}

void outbox_answer_single(Outbox *outbox)
{
    outbox->single_frame = true;
}

static bool run_cork(void *part)
{
    Outbox *outbox = part;

    if (outbox->ctx->config->walks_write) {
        outbox_cork(outbox);
    }
    return false;
}

static bool run_uncork(void *part)
{
    Outbox *outbox = part;

    if (outbox->ctx->config->walks_write) {
        outbox_uncork(outbox);
    }
    return false;
}

const LanePart outbox_part = {
    .init = outbox_init,
};

const LanePart outbox_cork_pass = {
    .run = run_cork,
};

const LanePart outbox_uncork_pass = {
    .run = run_uncork,
};
