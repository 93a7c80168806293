/*
 * distkvm: the part of a lane that fetches pages before a thread wants them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/clock.h"
#include "prefetch.h"

/* Own pages come in groups of this many, naturally aligned. */
#define GROUP_PAGES 16

static void prefetch_init(void *part, LaneCtx *ctx)
{
    Prefetch *prefetch = part;

    prefetch->ctx = ctx;
    companions_init(&prefetch->companions);
}

static void prefetch_free(void *part)
{
    Prefetch *prefetch = part;

    companions_free(&prefetch->companions);
}

static bool may_prefetch(const Prefetch *prefetch, CohPage page)
{
    const LaneCtx *ctx = prefetch->ctx;

    /* Below a cap a page not asked for would push out one that is used. */
    return !evict_has_cap(prefetch->evict) && lane_owns(ctx, page) &&
           page < lane_page_end(ctx) &&
           ctx->node->peer[page].state == COH_PEER_I &&
           !prejoin_has(prefetch->prejoin, page);
}

static void fetch(Prefetch *prefetch, CohPage page, uint8_t type)
{
    CohEvent ev = {
        .type = type, .from = prefetch->ctx->node->id, .page = page,
    };

    STAT_ADD(prefetch->ctx, readahead_pages, 1);
    executor_event(prefetch->executor, &ev, NULL);
}

/* ------------------------------------------------------- untouched pages */

void prefetch_untouched(Prefetch *prefetch, const MemFault *fault)
{
    CohPage first = fault->page & ~(CohPage)(GROUP_PAGES - 1);

    if (!prefetch->ctx->config->readahead) {
        return;
    }
    for (CohPage page = first; page < first + GROUP_PAGES; page++) {
        if (page != fault->page && may_prefetch(prefetch, page) &&
            lane_is_untouched(prefetch->ctx, page)) {
            fetch(prefetch, page, COH_EV_LOAD);
        }
    }
}

/* ------------------------------------------------------------ page walks */

/*
 * A page walk needs all its tables at once, so all are held as if the thread
 * had waited for each.
 */
static void fetch_walk(Prefetch *prefetch, const MemFault *fault)
{
    Pagewalk walk;

    if (!prefetch->ctx->config->walks_write ||
        !pagewalk_has(prefetch->pagewalk, fault->page)) {
        return;
    }
    /* A copy: pages that leave meanwhile change the other. */
    walk = *prefetch->pagewalk;
    outbox_begin_batch(prefetch->outbox);
    for (unsigned i = 0; i < walk.n; i++) {
        MemFault other = {
            .page = walk.page[i], .write = true, .tid = fault->tid,
        };

        if (may_prefetch(prefetch, other.page)) {
            waiters_add(prefetch->waiters, &other, COH_PEER_I, true);
            fetch(prefetch, other.page, COH_EV_STORE);
        }
    }
    outbox_end_batch(prefetch->outbox);
}

/* ------------------------------------------------------------ companions */

/* Not below a cap, where no page is prefetched (may_prefetch()). */
static bool learns(const Prefetch *prefetch)
{
    const LaneCtx *ctx = prefetch->ctx;

    return ctx->config->companions && !evict_has_cap(prefetch->evict) &&
           ctx->phase == LANE_JOINED && !ctx->pinned;
}

uint8_t prefetch_event_type(Prefetch *prefetch, const MemFault *fault,
                            uint8_t state)
{
    const LaneCtx *ctx = prefetch->ctx;

    /* Pinned: a misaligned LOCK reads first, but must own the page. */
    if (fault->write || ctx->pinned) {
        return COH_EV_STORE;
    }
    return learns(prefetch) && !fault->alone && state == COH_PEER_I &&
           companions_will_write(&prefetch->companions, fault->page)
           ? COH_EV_STORE : COH_EV_LOAD;
}

static void fetch_companion(Prefetch *prefetch, const MemFault *fault,
                            const Companion *companion)
{
    MemFault other = {
        .page = companion->page, .write = companion->write, .tid = fault->tid,
    };
    uint8_t state = prefetch->ctx->node->peer[other.page].state;
    uint8_t type = prefetch_event_type(prefetch, &other, state);

    if (may_prefetch(prefetch, other.page) ||
        (state == COH_PEER_S && type == COH_EV_STORE)) {
        waiters_add(prefetch->waiters, &other, state, true);
        if (state == COH_PEER_I) {
            wakeup_expect(prefetch->wakeup, other.page);
        }
        fetch(prefetch, other.page, type);
    }
}

void prefetch_companions(Prefetch *prefetch, const MemFault *fault,
                         uint8_t state)
{
    Companion found[COMPANIONS_MAX];
    unsigned n;

    if (!learns(prefetch) ||
        (state != COH_PEER_I && state != COH_PEER_S)) {
        return;
    }
    companions_missed(&prefetch->companions, fault->page, fault->write,
                      fault->tid, host_thread_ns(fault->tid));
    n = companions_take(&prefetch->companions, fault->page, found);
    outbox_begin_batch(prefetch->outbox);
    for (unsigned i = 0; i < n; i++) {
        fetch_companion(prefetch, fault, &found[i]);
    }
    outbox_end_batch(prefetch->outbox);
}

/* --------------------------------------------------------------- streams */

/*
 * As the thread touches the page that it waits for, and not as that one is
 * fetched: prefetch_event_type() says nothing of other pages.
 */
static void fetch_stream(Prefetch *prefetch, const MemFault *fault,
                         CohPage first, unsigned pages)
{
    uint8_t type = fault->write ? COH_EV_STORE : COH_EV_LOAD;

    outbox_begin_batch(prefetch->outbox);
    for (CohPage page = first; page < first + pages; page++) {
        if (may_prefetch(prefetch, page)) {
            wakeup_expect(prefetch->wakeup, page);
            fetch(prefetch, page, type);
        }
    }
    outbox_end_batch(prefetch->outbox);
}

static bool may_read_ahead(const LaneCtx *ctx)
{
    return ctx->config->readahead && ctx->phase == LANE_JOINED && !ctx->pinned;
}

static PrefetchStream *stream_of(Prefetch *prefetch, uint32_t tid)
{
    return &prefetch->stream[tid % PREFETCH_STREAMS];
}

static unsigned more_pages(const Prefetch *prefetch,
                           const PrefetchStream *stream)
{
    return MIN(stream->pages * 2 + 1, prefetch->ctx->config->readahead);
}

void prefetch_absent(Prefetch *prefetch, const MemFault *fault)
{
    PrefetchStream *stream = stream_of(prefetch, fault->tid);
    bool goes_on = stream->tid == fault->tid && stream->next == fault->page;

    fetch_walk(prefetch, fault);
    if (!may_read_ahead(prefetch->ctx)) {
        return;
    }
    stream->tid = fault->tid;
    stream->pages = goes_on ? more_pages(prefetch, stream) : 0;
    stream->next = fault->page + 1 + stream->pages;
    fetch_stream(prefetch, fault, fault->page + 1, stream->pages);
}

void prefetch_pending(Prefetch *prefetch, const MemFault *fault)
{
    PrefetchStream *stream = stream_of(prefetch, fault->tid);
    CohPage next = stream->next;

    /* In the second half of the pages prefetched last: time for more. */
    if (!may_read_ahead(prefetch->ctx) || stream->tid != fault->tid ||
        next - fault->page > stream->pages / 2) {
        return;
    }
    stream->pages = more_pages(prefetch, stream);
    stream->next += stream->pages;
    fetch_stream(prefetch, fault, next, stream->pages);
}

/* ---------------------------------------------------------------- ranges */

void prefetch_range(Prefetch *prefetch, CohPage first, unsigned pages,
                    bool write, uint32_t tid)
{
    const LaneCtx *ctx = prefetch->ctx;

    outbox_begin_batch(prefetch->outbox);
    for (CohPage page = first; page < first + pages; page++) {
        MemFault fault = { .page = page, .write = write, .tid = tid };
        uint8_t state;

        if (!lane_owns(ctx, page)) {
            continue;
        }
        state = ctx->node->peer[page].state;
        /* One request for each; a page that is on its way comes anyway. */
        if (evict_has_room(prefetch->evict, page) &&
            !prejoin_has(prefetch->prejoin, page) &&
            (state == COH_PEER_I || (state == COH_PEER_S && write))) {
            waiters_add(prefetch->waiters, &fault, state, true);
            fetch(prefetch, page, write ? COH_EV_STORE : COH_EV_LOAD);
        }
    }
    outbox_end_batch(prefetch->outbox);
}

const LanePart prefetch_part = {
    .init = prefetch_init,
    .free = prefetch_free,
};
