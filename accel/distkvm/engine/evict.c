/*
 * distkvm: a node's share of memory, and no more
 *
 * Above its cap a node asks the homes to relieve it of pages: copies that
 * others hold too are dropped, what only this node holds goes home.  These
 * are hints, which a home may ignore, so they are repeated while they are
 * needed.  Faults on new pages wait at the cap; a little above it a home
 * takes no pages back either.
 *
 * No deadlock: consider nodes that are all full and wait for each other.
 * Copies that another node has too are dropped without asking for room, so
 * count the others: each such page is held once and its home is one of these
 * nodes.  They are no more than the sum of the slices, which is less than the
 * sum of the caps: one of the nodes has room.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/trace.h"

/* Start to make room so many pages before the cap. */
#define EVICT_AHEAD 128
/* Pages looked at, and given up, in one pass. */
#define EVICT_SCAN 4096
#define EVICT_BATCH 64
/* Homes get this long to answer before they are asked again. */
#define EVICT_PAUSE_NS (500 * SCALE_US)

/* Flags of a page: how often it is passed over, and two bits. */
#define EVICT_LIVES 0x07
#define EVICT_IN_RING 0x80
#define EVICT_ASKED 0x40

static uint64_t held_pages(const Engine *e)
{
    /* With what was asked for and has not come. */
    return e->stats.pages_resident + g_hash_table_size(e->waiting) +
           g_hash_table_size(e->adopting);
}

static uint64_t slack_pages(const Engine *e)
{
    return ENGINE_CAP_SLACK / e->config.lanes.n;
}

bool engine_may_fetch(const Engine *e, CohPage page)
{
    bool own = cluster_map_home(e->config.map, page) == e->node.id;

    /* A pin lets nobody take pages meanwhile, and needs two at most. */
    return !e->config.cap_pages || e->pinned ||
           held_pages(e) < e->config.cap_pages + (own ? slack_pages(e) : 0);
}

bool engine_may_adopt(Engine *e, CohPage page)
{
    if (e->node.peer[page].state != COH_PEER_I ||
        (e->config.cap_pages &&
         held_pages(e) >= e->config.cap_pages + slack_pages(e))) {
        return false;
    }
    g_hash_table_add(e->adopting, g_memdup2(&page, sizeof(page)));
    return true;
}

void engine_defer(Engine *e, const MemFault *fault)
{
    g_array_append_val(e->deferred, *fault);
}

/* Try again what waited for room. */
static bool run_deferred(Engine *e)
{
    g_autoptr(GArray) deferred = NULL;

    if (!e->deferred->len || held_pages(e) >= e->config.cap_pages) {
        return false;
    }
    deferred = e->deferred;
    e->deferred = g_array_new(false, false, sizeof(MemFault));
    for (guint i = 0; i < deferred->len; i++) {
        engine_fault(e, &g_array_index(deferred, MemFault, i));
    }
    return true;
}

/* ------------------------------------------------- in order of arrival */

/* Each page is in the ring once at most. */
static void ring_push(Engine *e, CohPage page)
{
    EvictRing *r = &e->ring;

    if (!(r->flags[page] & EVICT_IN_RING)) {
        r->flags[page] |= EVICT_IN_RING;
        r->page[r->tail] = page;
        r->tail = r->tail + 1 < r->size ? r->tail + 1 : 0;
        r->len++;
    }
}

static CohPage ring_pop(Engine *e)
{
    EvictRing *r = &e->ring;
    CohPage page = r->page[r->head];

    r->head = r->head + 1 < r->size ? r->head + 1 : 0;
    r->len--;
    r->flags[page] &= ~EVICT_IN_RING;
    return page;
}

/* How many pages are of this lane; of those that are @own, or of all. */
static uint64_t lane_pages(const Engine *e, bool own)
{
    const ClusterMap *map = e->config.map;
    uint64_t pages = 0;

    for (uint64_t s = 0; s < cluster_map_stretches(map); s++) {
        if (engine_is_mine(e, s << map->bits) &&
            (!own || map->home[s] == e->node.id)) {
            pages += cluster_map_stretch_pages(map, s);
        }
    }
    return pages;
}

/*
 * A lane's part of the cap is its part of this node's slice and an even part
 * of the reserve, so each lane by itself has room for what it is home of.
 */
static void divide_cap(Engine *e)
{
    CohPage share = e->config.map->share[e->node.id];

    e->config.cap_pages = lane_pages(e, true) +
                          (e->config.cap_pages - share) / e->config.lanes.n;
}

void engine_evict_init(Engine *e, Engine *front)
{
    EvictRing *r = &e->ring;

    e->deferred = g_array_new(false, false, sizeof(MemFault));
    e->adopting = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    e->evict_due_ns = INT64_MAX;
    if (e->config.cap_pages) {
        CohPage pages = e->config.map->pages;

        divide_cap(e);
        r->size = lane_pages(e, false);
        r->page = g_new(uint32_t, r->size);
        r->flags = e == front ? g_new0(uint8_t, pages) : front->ring.flags;
    }
}

void engine_evict_free(Engine *e)
{
    g_array_unref(e->deferred);
    g_hash_table_unref(e->adopting);
    g_free(e->ring.page);
    if (!e->lane) {
        g_free(e->ring.flags);
    }
}

void engine_evict_changed(Engine *e, CohPage page)
{
    if (e->config.cap_pages) {
        ring_push(e, page);
    }
}

void engine_evict_installed(Engine *e, CohPage page)
{
    uint8_t *flags;

    if (!e->config.cap_pages) {
        return;
    }
    flags = &e->ring.flags[page];
    /* Given up, and wanted again: it stays longer next time. */
    if (*flags & EVICT_ASKED) {
        *flags &= ~EVICT_ASKED;
        *flags += (*flags & EVICT_LIVES) < EVICT_LIVES;
    }
    ring_push(e, page);
}

/* -------------------------------------------------------------- evicting */

/* An own page can only be dropped, and only while others have it too. */
static bool is_evictable(Engine *e, CohPage page)
{
    uint8_t state = e->node.peer[page].state;
    const CohHome *home;

    if (cluster_map_home(e->config.map, page) != e->node.id) {
        return state == COH_PEER_S || state == COH_PEER_M;
    }
    home = coh_node_home(&e->node, page);
    return state == COH_PEER_S && home->state == COH_HOME_S &&
           !coh_set_is_only(&home->sharers, e->node.id);
}

/* Neither here nor on its way: nothing will make it evictable. */
static bool is_absent(Engine *e, CohPage page)
{
    return e->node.peer[page].state == COH_PEER_I;
}

static void evict(Engine *e, CohPage page)
{
    CohEvent ev = {
        .type = COH_EV_EVICT, .from = e->node.id, .page = page,
    };

    trace_distkvm_evict(page);
    STAT_ADD(e, evictions_asked, 1);
    e->ring.flags[page] |= EVICT_ASKED;
    engine_event(e, &ev, NULL);
}

/* The oldest pages that may go now; how many were found. */
static unsigned oldest_pages(Engine *e, CohPage *page, unsigned max)
{
    int64_t now = get_clock();
    uint64_t looks = MIN(e->ring.len, EVICT_SCAN);
    unsigned n = 0;

    while (looks-- && n < max) {
        CohPage oldest = ring_pop(e);

        if (is_absent(e, oldest)) {
            continue;
        }
        ring_push(e, oldest);
        if (!is_evictable(e, oldest)) {
            continue;
        }
        if (e->ring.flags[oldest] & EVICT_LIVES) {
            e->ring.flags[oldest]--;
        } else if (hold_until(&e->hold, oldest) <= now) {
            page[n++] = oldest;
        }
    }
    return n;
}

/*
 * Clean copies first, then pages that only this node has; but some of these
 * always, since the homes of the others may have no room.
 */
static void evict_some(Engine *e, unsigned wanted)
{
    CohPage page[2 * EVICT_BATCH];
    unsigned n = oldest_pages(e, page, 2 * wanted), clean = 0, owned = 0;

    for (unsigned i = 0; i < n && clean < wanted; i++) {
        if (e->node.peer[page[i]].state == COH_PEER_S) {
            evict(e, page[i]);
            clean++;
        }
    }
    for (unsigned i = 0; i < n && (clean + owned < wanted ||
                                   owned < wanted / 4 + 1); i++) {
        if (e->node.peer[page[i]].state == COH_PEER_M) {
            evict(e, page[i]);
            owned++;
        }
    }
}

bool engine_run_evictions(Engine *e)
{
    bool any = run_deferred(e);
    uint64_t held = held_pages(e) + EVICT_AHEAD;
    int64_t now;

    e->evict_due_ns = INT64_MAX;
    if (!e->config.cap_pages || e->failed || !e->joined ||
        held <= e->config.cap_pages) {
        return any;
    }
    now = get_clock();
    if (now - e->evicted_ns >= EVICT_PAUSE_NS) {
        e->evicted_ns = now;
        evict_some(e, MIN(held - e->config.cap_pages, EVICT_BATCH));
        any = true;
    }
    /* Whether it helped is seen by then. */
    e->evict_due_ns = e->evicted_ns + EVICT_PAUSE_NS;
    return any;
}
