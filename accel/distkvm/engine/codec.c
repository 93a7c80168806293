/*
 * distkvm: the part of a lane that turns pages into frames and back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "codec.h"

static void codec_init(void *part, LaneCtx *ctx)
{
    Codec *codec = part;
    unsigned snapshots = ctx->config->delta_pages / ctx->config->lanes.n;

    QEMU_BUILD_BUG_ON(COH_NODES_MAX * LANES_MAX >= 1 << DELTA_AUTHOR_BITS);
    codec->ctx = ctx;
    codec->delta = delta_new(ctx->node->id * LANES_MAX + ctx->lane,
                             ctx->config->incarnation, snapshots);
    codec->snapshots = snapshots;
    codec->ordered_snapshots = snapshots;
}

static void codec_free(void *part)
{
    Codec *codec = part;

    delta_free(codec->delta);
}

/* --------------------------------------------------------------- outwards */

void codec_copied(Codec *codec, const CohEvent *ev, bool owned)
{
    uint64_t version = delta_version(codec->delta, ev->page);

    codec->copy_is_zero = buffer_is_zero(codec->copy, COH_PAGE_SIZE);
    codec->copy_is_new = codec->copy_is_zero;
    if (codec->copy_is_zero) {
        codec->copy_version = DELTA_ZERO_VERSION;
        return;
    }
    codec->blocks_len = delta_encode(codec->delta, ev->page, ev->have,
                                     codec->copy, codec->blocks);
    if (owned && delta_is_same(codec->delta, ev->page, codec->copy)) {
        /* Nothing was written: the processor walked a guest's page table. */
        STAT_ADD(codec->ctx, unchanged_pages_sent, 1);
        pagewalk_left(codec->pagewalk, ev->page, true);
    } else if (owned || !version) {
        /* An owner may have written; a sharer has not. */
        pagewalk_left(codec->pagewalk, ev->page, false);
        version = delta_new_version(codec->delta);
        codec->copy_is_new = true;
    }
    codec->copy_version = version;
}

void codec_put_page(Codec *codec, WireFrame *frame)
{
    LaneCtx *ctx = codec->ctx;

    frame->coh.version = codec->copy_version;
    frame->coh.zero = codec->copy_is_zero;
    if (frame->coh.zero) {
        STAT_ADD(ctx, zero_pages_sent, 1);
        return;
    }
    STAT_ADD(ctx, pages_sent, 1);
    frame->payload = codec->blocks_len ? codec->blocks : codec->copy;
    frame->len = codec->blocks_len ?: COH_PAGE_SIZE;
    if (codec->blocks_len) {
        STAT_ADD(ctx, delta_pages_sent, 1);
        STAT_ADD(ctx, delta_bytes_saved, COH_PAGE_SIZE - codec->blocks_len);
    }
}

void codec_drop_copy(Codec *codec)
{
    codec->copy_is_new = false;
}

void codec_store_sent(Codec *codec, CohPage page)
{
    if (codec->copy_is_new) {
        delta_store(codec->delta, page, codec->copy_version,
                    codec->copy_is_zero ? NULL : codec->copy);
        codec->copy_is_new = false;
    }
}

/* ---------------------------------------------------------------- inwards */

bool codec_get_page(Codec *codec, const WireFrame *frame, const void **data)
{
    *data = NULL;
    if (frame->coh.zero) {
        /* Nothing to decode. */
    } else if (frame->len == COH_PAGE_SIZE) {
        *data = frame->payload;
    } else if (delta_decode(codec->delta, frame->coh.page, frame->payload,
                            frame->len, codec->rebuilt)) {
        *data = codec->rebuilt;
    } else {
        return false;
    }
    /* The request that named a version is answered. */
    delta_unpin(codec->delta, frame->coh.page);
    return true;
}

void codec_store_received(Codec *codec, const WireFrame *frame,
                          const void *data)
{
    delta_store(codec->delta, frame->coh.page,
                data ? frame->coh.version : DELTA_ZERO_VERSION, data);
}

uint64_t codec_pin_version(Codec *codec, CohPage page)
{
    return delta_pin(codec->delta, page);
}

void codec_unpin_version(Codec *codec, CohPage page)
{
    delta_unpin(codec->delta, page);
}

void codec_order_snapshots(Codec *codec, unsigned snapshots)
{
    qatomic_set(&codec->ordered_snapshots,
                snapshots / codec->ctx->config->lanes.n);
}

/* Again in the next pass if it cannot be yet. */
static bool codec_run(void *part)
{
    Codec *codec = part;
    unsigned ordered = qatomic_read(&codec->ordered_snapshots);

    if (ordered != codec->snapshots && delta_resize(codec->delta, ordered)) {
        codec->snapshots = ordered;
    }
    return false;
}

size_t codec_bytes(const Codec *codec)
{
    return delta_bytes(codec->delta);
}

const LanePart codec_part = {
    .init = codec_init,
    .free = codec_free,
    .run = codec_run,
};
