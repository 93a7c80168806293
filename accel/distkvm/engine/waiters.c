/*
 * distkvm: the part of a lane that knows which threads wait for which pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/trace.h"
#include "waiters.h"

static GArray *new_faults(void)
{
    return g_array_new(false, false, sizeof(MemFault));
}

static void waiters_init(void *part, LaneCtx *ctx)
{
    Waiters *waiters = part;

    waiters->ctx = ctx;
    waiters->table = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                           g_free, g_free);
    waiters->deferred = new_faults();
}

static void waiters_free(void *part)
{
    Waiters *waiters = part;

    g_hash_table_unref(waiters->table);
    g_array_unref(waiters->deferred);
}

static void waiters_fail(void *part)
{
    Waiters *waiters = part;
    GHashTableIter iter;
    gpointer page;

    g_hash_table_iter_init(&iter, waiters->table);
    while (g_hash_table_iter_next(&iter, &page, NULL)) {
        lane_release(waiters->ctx, *(CohPage *)page);
    }
    for (guint i = 0; i < waiters->deferred->len; i++) {
        lane_release(waiters->ctx,
                     g_array_index(waiters->deferred, MemFault, i).page);
    }
    g_array_set_size(waiters->deferred, 0);
}

/* -------------------------------------------------- pages asked for */

void waiters_add(Waiters *waiters, const MemFault *fault, uint8_t state,
                 bool prefetched)
{
    Waiter *waiter = waiters_find(waiters, fault->page);

    /* The page may be on its way: asked for by another, or prefetched. */
    if (waiter) {
        waiter->blocked |= !prefetched;
        return;
    }
    waiter = g_new(Waiter, 1);
    *waiter = (Waiter) {
        .since_ns = get_clock(), .tid = fault->tid, .state = state,
        .write = fault->write, .prefetched = prefetched,
        .blocked = !prefetched,
    };
    g_hash_table_insert(waiters->table,
                        g_memdup2(&fault->page, sizeof(fault->page)), waiter);
}

Waiter *waiters_find(const Waiters *waiters, CohPage page)
{
    return g_hash_table_lookup(waiters->table, &page);
}

unsigned waiters_count(const Waiters *waiters)
{
    return g_hash_table_size(waiters->table);
}

bool waiters_is_blocked(const Waiters *waiters, uint32_t tid)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, waiters->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Waiter *waiter = value;

        if (waiter->tid == tid && waiter->blocked) {
            return true;
        }
    }
    return false;
}

static unsigned bucket(int64_t ns)
{
    uint64_t us = MAX(ns, 0) / SCALE_US;

    return us ? MIN(64 - __builtin_clzll(us), ENGINE_WAIT_BUCKETS - 1) : 0;
}

static void count(LaneCtx *ctx, const Waiter *waiter, int64_t ns)
{
    EngineWait kind;

    if (waiter->state == COH_PEER_S) {
        kind = ENGINE_WAIT_UPGRADE;
        STAT_ADD(ctx, wait_upgrade_ns, ns);
    } else if (waiter->write) {
        kind = ENGINE_WAIT_WRITE;
        STAT_ADD(ctx, wait_write_ns, ns);
    } else {
        kind = ENGINE_WAIT_READ;
        STAT_ADD(ctx, wait_read_ns, ns);
    }
    STAT_ADD(ctx, waits[kind][bucket(ns)], 1);
}

bool waiters_installed(Waiters *waiters, CohPage page)
{
    Waiter *waiter = waiters_find(waiters, page);
    /* A thread whose fault waits for room may want this very page. */
    bool has_waiter = waiters->deferred->len;
    int64_t now, ns;

    if (!waiter) {
        return has_waiter;
    }
    has_waiter |= waiter->blocked;
    now = get_clock();
    ns = now - waiter->since_ns;
    trace_distkvm_fetched(page, waiter->write, waiter->remote, ns);
    hold_installed(waiters->hold, page, waiter->tid, now);
    if (!waiter->prefetched) {
        count(waiters->ctx, waiter, ns);
    }
    if (waiter->remote) {
        hold_fetched(waiters->hold, ns);
    }
    g_hash_table_remove(waiters->table, &page);
    return has_waiter;
}

/* ------------------------------------------------- faults without room */

void waiters_defer(Waiters *waiters, const MemFault *fault)
{
    g_array_append_val(waiters->deferred, *fault);
}

bool waiters_has_deferred(const Waiters *waiters)
{
    return waiters->deferred->len;
}

GArray *waiters_take_deferred(Waiters *waiters)
{
    GArray *deferred = waiters->deferred;

    waiters->deferred = new_faults();
    return deferred;
}

const LanePart waiters_part = {
    .init = waiters_init,
    .free = waiters_free,
    .fail = waiters_fail,
};
