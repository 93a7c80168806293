/*
 * distkvm: the part of a lane that keeps it to its share of memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/trace.h"
#include "evict.h"

/* Start to make room this many pages before the cap. */
#define EVICT_HEADROOM 128
/* Pages looked at, and given up, in one pass. */
#define EVICT_SCAN 4096
#define EVICT_BATCH 64
/* Homes get this long to answer before they are asked again. */
#define EVICT_PAUSE_NS (500 * SCALE_US)
/*
 * A cap that is on its way to a lower one goes down by this many pages in each
 * pause at least: 16 pages are 128 MiB a second.
 */
#define EVICT_STEP 16

/* Flags of a page: how often it is passed over, and two bits. */
#define EVICT_LIVES 0x07
#define EVICT_IN_RING 0x80
#define EVICT_ASKED 0x40

/* With those that were asked for and have not come. */
static uint64_t expected_pages(const Evict *evict)
{
    return evict->ctx->stats.pages_resident + waiters_count(evict->waiters) +
           g_hash_table_size(evict->adopting);
}

static uint64_t slack_pages(const Evict *evict)
{
    return ENGINE_CAP_SLACK / evict->ctx->config->lanes.n;
}

bool evict_has_cap(const Evict *evict)
{
    return evict->cap_pages;
}

bool evict_is_below_cap(const Evict *evict)
{
    return !evict->cap_pages || expected_pages(evict) < evict->cap_pages;
}

bool evict_has_room(const Evict *evict, CohPage page)
{
    const LaneCtx *ctx = evict->ctx;
    bool own = lane_directory(ctx, page);

    /* During a pin no node takes pages from here, and it needs two at most. */
    return !evict->cap_pages || ctx->pinned ||
           expected_pages(evict) <
           evict->cap_pages + (own ? slack_pages(evict) : 0);
}

/* -------------------------------------------------- in order of arrival */

/* Each page is in the ring once at most. */
static void ring_push(EvictRing *r, CohPage page)
{
    if (!(r->flags[page] & EVICT_IN_RING)) {
        r->flags[page] |= EVICT_IN_RING;
        r->page[r->tail] = page;
        r->tail = r->tail + 1 < r->size ? r->tail + 1 : 0;
        r->len++;
    }
}

static CohPage ring_pop(EvictRing *r)
{
    CohPage page = r->page[r->head];

    r->head = r->head + 1 < r->size ? r->head + 1 : 0;
    r->len--;
    r->flags[page] &= ~EVICT_IN_RING;
    return page;
}

/* How many pages are of this lane; of those that are @own, or of all. */
static uint64_t lane_pages(const LaneCtx *ctx, bool own)
{
    const ClusterMap *map = ctx->config->map;
    uint64_t pages = 0;

    for (uint64_t s = 0; s < cluster_map_stretches(map); s++) {
        if (lane_owns(ctx, s << map->bits) &&
            (!own || map->home[s] == ctx->node->id)) {
            pages += cluster_map_stretch_pages(map, s);
        }
    }
    return pages;
}

/*
 * A lane's part of the cap is its part of this node's share and an even part
 * of the reserve, so each lane by itself has room for the pages it is home of.
 */
static uint64_t divide_cap(const LaneCtx *ctx, uint64_t cap_pages)
{
    const EngineConfig *config = ctx->config;
    CohPage share = config->map->share[ctx->node->id];

    return cap_pages ? lane_pages(ctx, true) +
                       (cap_pages - share) / config->lanes.n : 0;
}

size_t evict_flags_bytes(const EngineConfig *config)
{
    return config->map->pages;
}

static void evict_init(void *part, LaneCtx *ctx)
{
    Evict *evict = part;

    evict->ctx = ctx;
    evict->adopting = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                            g_free, NULL);
    evict->due_ns = INT64_MAX;
    evict->cap_pages = divide_cap(ctx, ctx->config->cap_pages);
    evict->target_pages = evict->cap_pages;
    evict->ordered_pages = evict->cap_pages;
    evict->unseen = lane_page_end(ctx);
    /* Not written to without a cap: the host gives no memory for it then. */
    evict->ring.size = lane_pages(ctx, false);
    evict->ring.page = g_new(uint32_t, evict->ring.size);
}

static void evict_free(void *part)
{
    Evict *evict = part;

    g_hash_table_unref(evict->adopting);
    g_free(evict->ring.page);
}

static void evict_fail(void *part)
{
    Evict *evict = part;
    GHashTableIter iter;
    gpointer page;

    /* A thread may have faulted on a page that was coming home anyway. */
    g_hash_table_iter_init(&iter, evict->adopting);
    while (g_hash_table_iter_next(&iter, &page, NULL)) {
        lane_release(evict->ctx, *(CohPage *)page);
    }
}

/* ----------------------------------------------------------------- hooks */

void evict_expect(Evict *evict, CohPage page)
{
    g_hash_table_add(evict->adopting, g_memdup2(&page, sizeof(page)));
}

static bool evict_adopt(void *part, CohPage page)
{
    Evict *evict = part;

    if (evict->ctx->node->peer[page].state != COH_PEER_I ||
        (evict->cap_pages &&
         expected_pages(evict) >= evict->cap_pages + slack_pages(evict))) {
        return false;
    }
    evict_expect(evict, page);
    return true;
}

static void evict_changed(void *part, CohPage page)
{
    Evict *evict = part;

    if (evict->cap_pages) {
        ring_push(&evict->ring, page);
    }
}

static void evict_installed(void *part, CohPage page)
{
    Evict *evict = part;
    uint8_t *flags;

    g_hash_table_remove(evict->adopting, &page);
    if (!evict->cap_pages) {
        return;
    }
    flags = &evict->ring.flags[page];
    /* Given up, and wanted again: it stays longer next time. */
    if (*flags & EVICT_ASKED) {
        *flags &= ~EVICT_ASKED;
        *flags += (*flags & EVICT_LIVES) < EVICT_LIVES;
    }
    ring_push(&evict->ring, page);
}

const PageHooks evict_hooks = {
    .installed = evict_installed,
    .changed = evict_changed,
    .adopt = evict_adopt,
};

/* -------------------------------------------------------------- evicting */

/* An own page can only be dropped, and only while other nodes have it too. */
static bool is_evictable(const LaneCtx *ctx, CohPage page)
{
    uint8_t state = ctx->node->peer[page].state;
    const CohHome *home = lane_directory(ctx, page);

    if (!home) {
        return state == COH_PEER_S || state == COH_PEER_M;
    }
    return state == COH_PEER_S && home->state == COH_HOME_S &&
           !coh_set_is_only(&home->sharers, ctx->node->id);
}

/* Neither here nor on its way: nothing will make it evictable. */
static bool is_absent(const LaneCtx *ctx, CohPage page)
{
    return ctx->node->peer[page].state == COH_PEER_I;
}

static void evict_page(Evict *evict, CohPage page)
{
    CohEvent ev = {
        .type = COH_EV_EVICT, .from = evict->ctx->node->id, .page = page,
    };

    trace_distkvm_evict(page);
    STAT_ADD(evict->ctx, evictions_asked, 1);
    evict->ring.flags[page] |= EVICT_ASKED;
    executor_event(evict->executor, &ev, NULL);
}

/* The oldest pages that may go now; how many were found. */
static unsigned oldest_pages(Evict *evict, CohPage *page, unsigned max)
{
    EvictRing *r = &evict->ring;
    int64_t now = get_clock();
    uint64_t looks = MIN(r->len, EVICT_SCAN);
    unsigned n = 0;

    while (looks-- && n < max) {
        CohPage oldest = ring_pop(r);

        if (is_absent(evict->ctx, oldest)) {
            continue;
        }
        ring_push(r, oldest);
        if (!is_evictable(evict->ctx, oldest)) {
            continue;
        }
        if (r->flags[oldest] & EVICT_LIVES) {
            r->flags[oldest]--;
        } else if (hold_until(evict->hold, oldest) <= now) {
            page[n++] = oldest;
        }
    }
    return n;
}

/*
 * Clean copies first, then pages that only this node has; but some of these
 * always, since the homes of the others may have no room.
 */
static void evict_some(Evict *evict, unsigned wanted)
{
    const CohPeer *peer = evict->ctx->node->peer;
    CohPage page[2 * EVICT_BATCH];
    unsigned n = oldest_pages(evict, page, 2 * wanted), clean = 0, owned = 0;

    for (unsigned i = 0; i < n && clean < wanted; i++) {
        if (peer[page[i]].state == COH_PEER_S) {
            evict_page(evict, page[i]);
            clean++;
        }
    }
    for (unsigned i = 0; i < n && (clean + owned < wanted ||
                                   owned < wanted / 4 + 1); i++) {
        if (peer[page[i]].state == COH_PEER_M) {
            evict_page(evict, page[i]);
            owned++;
        }
    }
}

/* -------------------------------------------------------- another cap */

void evict_order_cap(Evict *evict, uint64_t cap_pages)
{
    qatomic_set(&evict->ordered_pages, divide_cap(evict->ctx, cap_pages));
}

uint64_t evict_excess_pages(const Evict *evict)
{
    uint64_t cap = qatomic_read(&evict->ordered_pages);
    uint64_t resident = qatomic_read(&evict->ctx->stats.pages_resident);

    return cap && resident > cap ? resident - cap : 0;
}

/* Down to the ordered cap at once if there are no more pages than that. */
static void lower_cap(Evict *evict, uint64_t cap_pages)
{
    evict->cap_pages = MAX(evict->target_pages,
                           MIN(cap_pages,
                               expected_pages(evict) + EVICT_HEADROOM));
}

static bool take_order(Evict *evict)
{
    uint64_t ordered = qatomic_read(&evict->ordered_pages);

    if (ordered == evict->target_pages) {
        return false;
    }
    evict->target_pages = ordered;
    if (!ordered) {
        evict->cap_pages = 0;
    } else if (evict->cap_pages) {
        lower_cap(evict, MAX(ordered, evict->cap_pages));
    } else {
        lower_cap(evict, UINT64_MAX);
        evict->unseen = 0;
    }
    return true;
}

/* Pages that came while there was no cap: some of them go to the ring. */
static bool see_more(Evict *evict)
{
    CohPage end = MIN(evict->unseen + EVICT_SCAN, lane_page_end(evict->ctx));
    bool any = evict->unseen < end;

    for (; evict->unseen < end; evict->unseen++) {
        if (lane_owns(evict->ctx, evict->unseen) &&
            !is_absent(evict->ctx, evict->unseen)) {
            ring_push(&evict->ring, evict->unseen);
        }
    }
    return any;
}

static bool evict_run(void *part)
{
    Evict *evict = part;
    uint64_t needed = expected_pages(evict) + EVICT_HEADROOM;
    /* After an order one more pass: faults that wait may have room now. */
    bool any = take_order(evict);
    int64_t now;

    evict->due_ns = INT64_MAX;
    if (!evict->cap_pages || evict->ctx->phase != LANE_JOINED) {
        return any;
    }
    any |= see_more(evict);
    if (needed <= evict->target_pages) {
        evict->cap_pages = evict->target_pages;
        return any;
    }
    now = get_clock();
    if (now - evict->evicted_ns >= EVICT_PAUSE_NS) {
        evict->evicted_ns = now;
        lower_cap(evict, evict->cap_pages - MIN(evict->cap_pages, EVICT_STEP));
        evict_some(evict, MIN(needed - evict->target_pages, EVICT_BATCH));
        any = true;
    }
    /* By then it is seen whether it helped. */
    evict->due_ns = evict->evicted_ns + EVICT_PAUSE_NS;
    return any;
}

static int64_t evict_due_ns(void *part)
{
    Evict *evict = part;

    return evict->due_ns;
}

const LanePart evict_part = {
    .init = evict_init,
    .free = evict_free,
    .run = evict_run,
    .due_ns = evict_due_ns,
    .fail = evict_fail,
};
