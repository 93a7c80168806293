/*
 * distkvm: the engine's part that meets page faults
 *
 * A fault becomes an event of the protocol.  Pages that will be wanted next
 * come along: of a node's own pages that nobody has touched the neighbours, which
 * cost no message; others as in prefetch.c.  Engine thread only.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/trace.h"

/* Own pages come in groups of this many, naturally aligned. */
#define GROUP_PAGES 16

static bool is_first_touch(Engine *e, CohPage page)
{
    const CohHome *home = coh_node_home(&e->node, page);

    return home && home->state == COH_HOME_U;
}

/* Put @page where it belongs among the @n sorted pages at @hot, of @max. */
static void insert_hot(EngineHotPage *hot, unsigned max, unsigned n,
                       const EngineHotPage *page)
{
    unsigned at = n;

    while (at && hot[at - 1].faults < page->faults) {
        at--;
    }
    if (at < max) {
        memmove(&hot[at + 1], &hot[at],
                (MIN(n, max - 1) - at) * sizeof(*hot));
        hot[at] = *page;
    }
}

/* The list is short and kept sorted, so that no query reads all counters. */
static void note_hot(Engine *e, CohPage page, unsigned faults)
{
    EngineHotPage entry = { .page = page, .faults = faults };
    unsigned n = 0, at = ENGINE_HOT_MAX;

    QEMU_LOCK_GUARD(&e->lock);
    for (; n < ENGINE_HOT_MAX && e->hot[n].faults; n++) {
        at = e->hot[n].page == page ? n : at;
    }
    if (at < n) {
        memmove(&e->hot[at], &e->hot[at + 1], (n - at - 1) * sizeof(entry));
        n--;
    }
    insert_hot(e->hot, ENGINE_HOT_MAX, n, &entry);
}

static void count_fault(Engine *e, const MemFault *fault, uint8_t state)
{
    uint16_t *heat = &e->heat[fault->page];

    if (state == COH_PEER_S) {
        STAT_ADD(e, faults_upgrade, fault->write);
    } else if (state != COH_PEER_I) {
        return;
    } else if (is_first_touch(e, fault->page)) {
        STAT_ADD(e, faults_local, 1);
        return;
    } else {
        STAT_ADD(e, faults_read, !fault->write);
        STAT_ADD(e, faults_write, fault->write);
    }
    qatomic_set(heat, *heat + (*heat < UINT16_MAX));
    if (*heat > e->hot[ENGINE_HOT_MAX - 1].faults) {
        note_hot(e, fault->page, *heat);
    }
}

unsigned engine_hot_pages(Engine *e, EngineHotPage *hot, unsigned max)
{
    unsigned n = 0;

    max = MIN(max, ENGINE_HOT_MAX);
    memset(hot, 0, max * sizeof(*hot));
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        Engine *one = e->all[lane];

        QEMU_LOCK_GUARD(&one->lock);
        for (unsigned i = 0; i < ENGINE_HOT_MAX && one->hot[i].faults; i++) {
            insert_hot(hot, max, n, &one->hot[i]);
            n = MIN(n + 1, max);
        }
    }
    return n;
}

static void fault_after_failure(Engine *e, const MemFault *fault)
{
    switch (e->node.peer[fault->page].state) {
    case COH_PEER_S:
    case COH_PEER_SM_AD:
    case COH_PEER_SM_A:
        /* Nobody else will see it. */
        mem_protect(e->mem, fault->page, 1, true);
        mem_wake(e->mem, fault->page);
        break;
    case COH_PEER_M:
        mem_wake(e->mem, fault->page);
        break;
    default:
        mem_poison(e->mem, fault->page);
        break;
    }
}

static void note_waiter(Engine *e, const MemFault *fault, uint8_t state,
                        bool along)
{
    EngineWait wait = {
        .since_ns = get_clock(), .tid = fault->tid, .state = state,
        .write = fault->write, .along = along, .blocked = !along,
    };
    EngineWait *other = g_hash_table_lookup(e->waiting, &fault->page);

    /* It may be on its way already: asked for by another, or along. */
    if (other) {
        other->blocked |= !along;
    } else {
        g_hash_table_insert(e->waiting,
                            g_memdup2(&fault->page, sizeof(CohPage)),
                            g_memdup2(&wait, sizeof(wait)));
    }
}

/* ------------------------------------------------ pages that come along */

bool engine_may_come_along(Engine *e, CohPage page)
{
    /* Under a cap what nobody has asked for would push out what is used. */
    return !e->config.cap_pages && engine_is_mine(e, page) &&
           page < e->config.map->pages &&
           e->node.peer[page].state == COH_PEER_I && !engine_is_lent(e, page);
}

void engine_fetch_along(Engine *e, CohPage page, uint8_t type)
{
    CohEvent ev = { .type = type, .from = e->node.id, .page = page };

    STAT_ADD(e, readahead_pages, 1);
    engine_event(e, &ev, NULL);
}

static void first_touch_group(Engine *e, CohPage page)
{
    CohPage first = page & ~(CohPage)(GROUP_PAGES - 1);

    for (CohPage p = first; p < first + GROUP_PAGES; p++) {
        if (p != page && engine_may_come_along(e, p) && is_first_touch(e, p)) {
            engine_fetch_along(e, p, COH_EV_LOAD);
        }
    }
}

/*
 * A walk needs all its tables at once, so all are held as if the thread had
 * waited for each.
 */
static void fetch_walk(Engine *e, const MemFault *fault)
{
    Walks walks = e->walks;

    if (!e->config.walks_write || !walks_has(&walks, fault->page)) {
        return;
    }
    engine_gather_begin(e);
    for (unsigned i = 0; i < walks.n; i++) {
        MemFault other = {
            .page = walks.page[i], .write = true, .tid = fault->tid,
        };

        if (engine_may_come_along(e, other.page)) {
            note_waiter(e, &other, COH_PEER_I, true);
            engine_fetch_along(e, other.page, COH_EV_STORE);
        }
    }
    engine_gather_end(e);
}

void engine_fetch_range(Engine *e, CohPage first, unsigned pages, bool write,
                        uint32_t tid)
{
    engine_gather_begin(e);
    for (CohPage page = first; page < first + pages; page++) {
        MemFault fault = { .page = page, .write = write, .tid = tid };
        uint8_t state = e->node.peer[page].state;

        /* One request each; what is under way comes anyway. */
        if (engine_is_mine(e, page) && engine_may_fetch(e, page) &&
            !engine_is_lent(e, page) &&
            (state == COH_PEER_I || (state == COH_PEER_S && write))) {
            note_waiter(e, &fault, state, true);
            engine_fetch_along(e, page, write ? COH_EV_STORE : COH_EV_LOAD);
        }
    }
    engine_gather_end(e);
}

/* --------------------------------------------------------------- faults */

static void follow_thread(Engine *e, uint32_t tid, int64_t now_ns)
{
    const EngineListener *l = e->listener;

    follow_fault(&e->follow, tid, l->may_keep && l->may_keep(e->opaque, tid),
                 now_ns);
}

void engine_fault(Engine *e, const MemFault *fault)
{
    bool own = cluster_map_home(e->config.map, fault->page) == e->node.id;
    EngineWait *wait;
    bool first;
    uint8_t state = e->node.peer[fault->page].state;
    CohEvent ev = {
        /* Pinned: a misaligned LOCK reads first, but must own the page. */
        .type = fault->write || e->pinned ? COH_EV_STORE : COH_EV_LOAD,
        .from = e->node.id,
        .page = fault->page,
    };

    trace_distkvm_fault(fault->page, fault->write, fault->tid);
    if (e->failed) {
        fault_after_failure(e, fault);
        return;
    }
    if (!e->joined && !own) {
        engine_early_fault(e, fault->page);
        return;
    }
    if (state == COH_PEER_I && !engine_may_fetch(e, fault->page)) {
        STAT_ADD(e, faults_deferred, 1);
        engine_defer(e, fault);
        return;
    }
    count_fault(e, fault, state);
    if (state != COH_PEER_M &&
        (state != COH_PEER_S || ev.type == COH_EV_STORE)) {
        note_waiter(e, fault, state, false);
    }
    first = state == COH_PEER_I && is_first_touch(e, fault->page);
    engine_event(e, &ev, NULL);
    wait = g_hash_table_lookup(e->waiting, &fault->page);
    if (wait && !first && (state == COH_PEER_I || !own)) {
        wait->remote = true;
        follow_thread(e, fault->tid, wait->since_ns);
    }
    /* After the page that somebody waits for. */
    if (first && e->config.readahead) {
        first_touch_group(e, fault->page);
    } else if (state == COH_PEER_I) {
        fetch_walk(e, fault);
        engine_read_ahead(e, fault, ev.type);
    } else if (state != COH_PEER_S && state != COH_PEER_M) {
        engine_read_on(e, fault, ev.type);
    }
}

static void release_all(Engine *e, GHashTable *pages)
{
    GHashTableIter iter;
    gpointer page;

    g_hash_table_iter_init(&iter, pages);
    while (g_hash_table_iter_next(&iter, &page, NULL)) {
        MemFault fault = { .page = *(CohPage *)page };

        fault_after_failure(e, &fault);
    }
}

void engine_release_lost(Engine *e)
{
    release_all(e, e->waiting);
    /* Somebody may have faulted on a page that was coming home anyway. */
    release_all(e, e->adopting);
    for (guint i = 0; i < e->deferred->len; i++) {
        fault_after_failure(e, &g_array_index(e->deferred, MemFault, i));
    }
    g_array_set_size(e->deferred, 0);
}
