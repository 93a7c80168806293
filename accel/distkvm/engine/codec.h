/*
 * distkvm: the part of a lane that turns pages into frames and back
 *
 * A page travels as zeroes, as the blocks that differ from the requester's
 * snapshot (memory/delta.h), or whole.  Nothing here decides anything: a page
 * that arrives is the page that left.
 *
 * Requests name the snapshot we have.  Store the new one before any request
 * can name the old: else two contents would go by one version.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CODEC_H
#define DISTKVM_CODEC_H

#include "accel/distkvm/memory/delta.h"
#include "lane-part.h"
#include "pagewalk.h"

typedef struct Codec {
    LaneCtx *ctx;
    Pagewalk *pagewalk;                 /* told of pages that left          */
    Delta *delta;
    unsigned snapshots;                 /* in @delta at most                */
    unsigned ordered_snapshots;         /* atomic: of any thread            */
    uint8_t copy[COH_PAGE_SIZE];        /* of a page that is to be sent     */
    uint64_t copy_version;
    bool copy_is_zero;
    bool copy_is_new;                   /* to be stored, codec_store_sent() */
    size_t blocks_len;                  /* 0: send the whole copy           */
    uint8_t blocks[DELTA_BYTES_MAX];
    uint8_t rebuilt[COH_PAGE_SIZE];     /* from blocks that arrived         */
} Codec;

/*
 * @codec->copy has the bytes of the page of @ev, which names the requester's
 * version.  @owned: this node may have written to it.
 */
void codec_copied(Codec *codec, const CohEvent *ev, bool owned);
/* Put that page into @frame, which then points into @codec. */
void codec_put_page(Codec *codec, WireFrame *frame);
/* That page is not sent after all. */
void codec_drop_copy(Codec *codec);
/*
 * The page of @frame, valid until the next call; NULL: zeroes.  False if it
 * cannot be put together.
 */
bool codec_get_page(Codec *codec, const WireFrame *frame, const void **data);
/*
 * Store the page sent, or received, as a snapshot: after the nodes and threads
 * that wait for it have been served, because it takes as long as the network.
 */
void codec_store_sent(Codec *codec, CohPage page);
void codec_store_received(Codec *codec, const WireFrame *frame,
                          const void *data);
/* The version of @page to name in a request, pinned until it is served. */
uint64_t codec_pin_version(Codec *codec, CohPage page);
/* @page was fetched: its snapshot may be replaced. */
void codec_unpin_version(Codec *codec, CohPage page);
/*
 * Keep @snapshots of all lanes at most from the next pass on.  Any thread;
 * never waits, and wakes no lane.
 */
void codec_order_snapshots(Codec *codec, unsigned snapshots);
/* Memory of the snapshots.  Any thread; a little out of date. */
size_t codec_bytes(const Codec *codec);

extern const LanePart codec_part;

#endif
