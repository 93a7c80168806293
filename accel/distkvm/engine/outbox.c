/*
 * distkvm: requests for several pages in one message
 *
 * Pages that are wanted together (a run that is read in order, the tables of a
 * walk, a range for DMA) are asked for together: requests of one kind to one
 * home become one frame, with a list of pages behind the first.  At the home
 * each is a request of its own, so the protocol knows nothing of it.
 * Spec: docs/wire-format.rst, "Several pages".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "engine-internal.h"

/* A page, and which version of it the requester has. */
#define ITEM_BYTES 16

void engine_gather_begin(Engine *e)
{
    e->gather.on = true;
}

static void flush(Engine *e)
{
    Gather *g = &e->gather;

    if (g->n) {
        g->frame.arg = g->n - 1;
        g->frame.len = (g->n - 1) * ITEM_BYTES;
        g->frame.payload = g->items;
        engine_send(e, g->to, &g->frame);
        g->n = 0;
    }
}

void engine_gather_end(Engine *e)
{
    flush(e);
    e->gather.on = false;
}

bool engine_gather(Engine *e, CohNodeId to, const WireFrame *frame)
{
    Gather *g = &e->gather;
    uint8_t *item;

    if (!g->on || (frame->sub != COH_EV_GETS && frame->sub != COH_EV_GETM)) {
        return false;
    }
    if (g->n && (g->to != to || g->frame.sub != frame->sub ||
                 g->n == GATHER_MAX)) {
        flush(e);
    }
    if (!g->n) {
        g->to = to;
        g->frame = *frame;
    } else {
        item = g->items + (g->n - 1) * ITEM_BYTES;
        stq_le_p(item, frame->addr);
        stq_le_p(item + 8, frame->id);
    }
    g->n++;
    return true;
}

void engine_gathered(const WireFrame *frame, unsigned n, CohEvent *ev)
{
    const uint8_t *item = (const uint8_t *)frame->payload + n * ITEM_BYTES;

    ev->page = ldq_le_p(item);
    ev->have = ldq_le_p(item + 8);
}

bool engine_gather_is_valid(const WireFrame *frame)
{
    return (frame->sub == COH_EV_GETS || frame->sub == COH_EV_GETM) &&
           frame->arg < GATHER_MAX && frame->len == frame->arg * ITEM_BYTES;
}
