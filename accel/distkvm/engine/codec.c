/*
 * distkvm: pages on the wire, whole or in blocks
 *
 * The protocol sends pages; here they become frames.  Nothing of it decides
 * anything: a page that arrives is the page that left.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "engine-internal.h"

void engine_copied(Engine *e, const CohEvent *ev, bool owned)
{
    uint64_t version = delta_version(e->delta, ev->page);

    e->copy_is_zero = buffer_is_zero(e->copy, COH_PAGE_SIZE);
    e->copy_is_new = e->copy_is_zero;
    if (e->copy_is_zero) {
        e->copy_version = DELTA_ZERO_VERSION;
        return;
    }
    e->blocks_len = delta_encode(e->delta, ev->page, ev->have, e->copy,
                                 e->blocks);
    if (owned && delta_is_same(e->delta, ev->page, e->copy)) {
        /* Nothing was written: the processor walked a guest's page table. */
        STAT_ADD(&e->ctx, unchanged_pages_sent, 1);
        walks_lost(&e->walks, ev->page, true);
    } else if (owned || !version) {
        /* An owner may have written; whoever only reads has not. */
        walks_lost(&e->walks, ev->page, false);
        version = delta_new_version(e->delta);
        e->copy_is_new = true;
    }
    e->copy_version = version;
}

void engine_keep_copied(Engine *e, CohPage page)
{
    if (e->copy_is_new) {
        delta_keep(e->delta, page, e->copy_version,
                   e->copy_is_zero ? NULL : e->copy);
        e->copy_is_new = false;
    }
}

void engine_put_page(Engine *e, WireFrame *frame)
{
    frame->id = e->copy_version;
    frame->zero = e->copy_is_zero;
    if (frame->zero) {
        STAT_ADD(&e->ctx, zero_pages_sent, 1);
        return;
    }
    STAT_ADD(&e->ctx, pages_sent, 1);
    frame->payload = e->blocks_len ? e->blocks : e->copy;
    frame->len = e->blocks_len ?: COH_PAGE_SIZE;
    if (e->blocks_len) {
        STAT_ADD(&e->ctx, delta_pages_sent, 1);
        STAT_ADD(&e->ctx, delta_bytes_saved, COH_PAGE_SIZE - e->blocks_len);
    }
}

bool engine_get_page(Engine *e, const WireFrame *frame, const void **data)
{
    *data = NULL;
    if (frame->zero) {
        /* Nothing to decode. */
    } else if (frame->len == COH_PAGE_SIZE) {
        *data = frame->payload;
    } else if (delta_decode(e->delta, frame->addr, frame->payload, frame->len,
                            e->rebuilt)) {
        *data = e->rebuilt;
    } else {
        return false;
    }
    /* Before anything else may be promised of this page. */
    delta_settle(e->delta, frame->addr);
    return true;
}

void engine_keep_got(Engine *e, const WireFrame *frame, const void *data)
{
    delta_keep(e->delta, frame->addr,
               data ? frame->id : DELTA_ZERO_VERSION, data);
}
