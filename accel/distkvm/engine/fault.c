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
    const CohHome *home = lane_directory(&e->ctx, page);

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
        STAT_ADD(&e->ctx, faults_upgrade, fault->write);
    } else if (state != COH_PEER_I) {
        return;
    } else if (is_first_touch(e, fault->page)) {
        STAT_ADD(&e->ctx, faults_local, 1);
        return;
    } else {
        STAT_ADD(&e->ctx, faults_read, !fault->write);
        STAT_ADD(&e->ctx, faults_write, fault->write);
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
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        Engine *one = e->all[lane];

        QEMU_LOCK_GUARD(&one->lock);
        for (unsigned i = 0; i < ENGINE_HOT_MAX && one->hot[i].faults; i++) {
            insert_hot(hot, max, n, &one->hot[i]);
            n = MIN(n + 1, max);
        }
    }
    return n;
}

/* ------------------------------------------------ pages that come along */

bool engine_may_come_along(Engine *e, CohPage page)
{
    /* Under a cap what nobody has asked for would push out what is used. */
    return !e->ctx.config->cap_pages && lane_owns(&e->ctx, page) &&
           page < e->ctx.config->map.page_first[e->ctx.config->map.nodes] &&
           e->ctx.node->peer[page].state == COH_PEER_I && !prejoin_has(&e->prejoin, page);
}

void engine_fetch_along(Engine *e, CohPage page, uint8_t type)
{
    CohEvent ev = { .type = type, .from = e->ctx.node->id, .page = page };

    STAT_ADD(&e->ctx, readahead_pages, 1);
    executor_event(&e->executor, &ev, NULL);
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
    Pagewalk walks = e->pagewalk;

    if (!e->ctx.config->walks_write || !pagewalk_has(&walks, fault->page)) {
        return;
    }
    outbox_begin_batch(&e->outbox);
    for (unsigned i = 0; i < walks.n; i++) {
        MemFault other = {
            .page = walks.page[i], .write = true, .tid = fault->tid,
        };

        if (engine_may_come_along(e, other.page)) {
            waiters_add(&e->waiters, &other, COH_PEER_I, true);
            engine_fetch_along(e, other.page, COH_EV_STORE);
        }
    }
    outbox_end_batch(&e->outbox);
}

void engine_fetch_range(Engine *e, CohPage first, unsigned pages, bool write,
                        uint32_t tid)
{
    outbox_begin_batch(&e->outbox);
    for (CohPage page = first; page < first + pages; page++) {
        MemFault fault = { .page = page, .write = write, .tid = tid };
        uint8_t state = e->ctx.node->peer[page].state;

        /* One request each; what is under way comes anyway. */
        if (lane_owns(&e->ctx, page) && evict_has_room(&e->evict, page) &&
            !prejoin_has(&e->prejoin, page) &&
            (state == COH_PEER_I || (state == COH_PEER_S && write))) {
            waiters_add(&e->waiters, &fault, state, true);
            engine_fetch_along(e, page, write ? COH_EV_STORE : COH_EV_LOAD);
        }
    }
    outbox_end_batch(&e->outbox);
}

/* --------------------------------------------------------------- faults */

static void follow_thread(Engine *e, uint32_t tid, int64_t now_ns)
{
    const EngineListener *l = e->ctx.host;

    follow_fault(&e->follow, tid, l->may_keep && l->may_keep(e->ctx.opaque, tid),
                 now_ns);
}

void engine_fault(Engine *e, const MemFault *fault)
{
    bool own = lane_directory(&e->ctx, fault->page);
    Waiter *wait;
    bool first;
    uint8_t state = e->ctx.node->peer[fault->page].state;
    CohEvent ev = {
        /* Pinned: a misaligned LOCK reads first, but must own the page. */
        .type = fault->write || e->ctx.pinned ? COH_EV_STORE : COH_EV_LOAD,
        .from = e->ctx.node->id,
        .page = fault->page,
    };

    trace_distkvm_fault(fault->page, fault->write, fault->tid);
    if (e->ctx.phase == LANE_FAILED) {
        lane_release(&e->ctx, fault->page);
        return;
    }
    if (e->ctx.phase == LANE_ALONE && !own) {
        prejoin_fault(&e->prejoin, fault->page);
        return;
    }
    if (state == COH_PEER_I && !evict_has_room(&e->evict, fault->page)) {
        STAT_ADD(&e->ctx, faults_deferred, 1);
        waiters_defer(&e->waiters, fault);
        return;
    }
    count_fault(e, fault, state);
    if (state != COH_PEER_M &&
        (state != COH_PEER_S || ev.type == COH_EV_STORE)) {
        waiters_add(&e->waiters, fault, state, false);
    }
    first = state == COH_PEER_I && is_first_touch(e, fault->page);
    executor_event(&e->executor, &ev, NULL);
    wait = waiters_find(&e->waiters, fault->page);
    if (wait && !first && (state == COH_PEER_I || !own)) {
        wait->remote = true;
        follow_thread(e, fault->tid, wait->since_ns);
    }
    /* After the page that somebody waits for. */
    if (first && e->ctx.config->readahead) {
        first_touch_group(e, fault->page);
    } else if (state == COH_PEER_I) {
        fetch_walk(e, fault);
        engine_read_ahead(e, fault, ev.type);
    } else if (state != COH_PEER_S && state != COH_PEER_M) {
        engine_read_on(e, fault, ev.type);
    }
}

bool engine_run_deferred(Engine *e)
{
    g_autoptr(GArray) deferred = NULL;

    if (!waiters_has_deferred(&e->waiters) || !evict_is_below_cap(&e->evict)) {
        return false;
    }
    deferred = waiters_take_deferred(&e->waiters);
    for (guint i = 0; i < deferred->len; i++) {
        engine_fault(e, &g_array_index(deferred, MemFault, i));
    }
    return true;
}
