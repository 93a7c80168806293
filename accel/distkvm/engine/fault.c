/*
 * distkvm: the part of a lane that meets page faults
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/trace.h"
#include "fault.h"

#define FAULTS_PER_READ 16
/* A lane that stays busy reads the userfaultfd every this many passes. */
#define PASSES_UNREAD_MAX 3

static void faults_init(void *part, LaneCtx *ctx)
{
    Faults *faults = part;

    faults->ctx = ctx;
}

static void count_fault(Faults *faults, const MemFault *fault, uint8_t state,
                        bool untouched)
{
    LaneCtx *ctx = faults->ctx;

    if (state == COH_PEER_S) {
        STAT_ADD(ctx, faults_upgrade, fault->write);
    } else if (state != COH_PEER_I) {
        return;
    } else if (untouched) {
        STAT_ADD(ctx, faults_local, 1);
        return;
    } else {
        STAT_ADD(ctx, faults_read, !fault->write);
        STAT_ADD(ctx, faults_write, fault->write);
    }
    heat_add(faults->heat, fault->page);
}

static void follow_thread(Faults *faults, uint32_t tid, int64_t now_ns)
{
    const LaneCtx *ctx = faults->ctx;

    bool may_bind = ctx->host->may_bind &&
                    ctx->host->may_bind(ctx->opaque, tid);

    affinity_fault(faults->affinity, tid, may_bind, now_ns);
}

/* Ask for the page; more may be prefetched. */
static void ask(Faults *faults, const MemFault *fault)
{
    LaneCtx *ctx = faults->ctx;
    uint8_t state = ctx->node->peer[fault->page].state;
    bool own = lane_directory(ctx, fault->page);
    bool untouched = state == COH_PEER_I &&
                     lane_is_untouched(ctx, fault->page);
    uint8_t type = prefetch_event_type(faults->prefetch, fault, state);
    CohEvent ev = { .type = type, .from = ctx->node->id, .page = fault->page };
    Waiter *waiter;

    count_fault(faults, fault, state, untouched);
    if (state != COH_PEER_M &&
        (state != COH_PEER_S || type == COH_EV_STORE)) {
        waiters_add(faults->waiters, fault, state, false);
    }
    executor_event(faults->executor, &ev, NULL);
    waiter = waiters_find(faults->waiters, fault->page);
    if (waiter && !untouched && (state == COH_PEER_I || !own)) {
        waiter->remote = true;
        follow_thread(faults, fault->tid, waiter->since_ns);
    }
    /* After the page that a thread waits for. */
    if (untouched) {
        prefetch_untouched(faults->prefetch, fault);
    } else if (fault->alone) {
        /* A device's pages are scattered; their neighbours are a CPU's. */
    } else if (state == COH_PEER_I) {
        prefetch_absent(faults->prefetch, fault);
    } else if (state != COH_PEER_S && state != COH_PEER_M) {
        prefetch_pending(faults->prefetch, fault);
    }
    if (waiter && !untouched && !fault->alone) {
        prefetch_companions(faults->prefetch, fault, state);
    }
}

void faults_take(Faults *faults, const MemFault *fault)
{
    LaneCtx *ctx = faults->ctx;

    trace_distkvm_fault(fault->page, fault->write, fault->tid);
    if (ctx->phase == LANE_FAILED) {
        lane_release(ctx, fault->page);
    } else if (ctx->phase == LANE_ALONE && !lane_directory(ctx, fault->page)) {
        prejoin_fault(faults->prejoin, fault->page);
    } else if (ctx->node->peer[fault->page].state == COH_PEER_I &&
               !evict_has_room(faults->evict, fault->page)) {
        STAT_ADD(ctx, faults_deferred, 1);
        waiters_defer(faults->waiters, fault);
    } else {
        ask(faults, fault);
    }
}

bool faults_fill(Faults *faults, CohPage page, const void *bytes)
{
    LaneCtx *ctx = faults->ctx;
    CohEvent ev = {
        .type = COH_EV_FILL, .from = ctx->node->id, .page = page,
    };

    if (ctx->phase != LANE_JOINED || !evict_has_room(faults->evict, page)) {
        return false;
    }
    evict_expect(faults->evict, page);
    executor_event(faults->executor, &ev, bytes);
    return true;
}

bool faults_read(Faults *faults)
{
    LaneCtx *ctx = faults->ctx;
    MemFault fault[FAULTS_PER_READ];
    int n;

    if (!ctx->faults_pending &&
        ++faults->passes_unread < PASSES_UNREAD_MAX) {
        return false;
    }
    faults->passes_unread = 0;
    n = mem_faults(ctx->mem, ctx->lane, fault, FAULTS_PER_READ);
    ctx->faults_pending = n == FAULTS_PER_READ;
    for (int i = 0; i < n; i++) {
        faults_take(faults, &fault[i]);
    }
    return n > 0;
}

void faults_polled(Faults *faults, bool pending)
{
    faults->ctx->faults_pending = pending;
    faults->passes_unread = 0;
}

static bool faults_run(void *part)
{
    return faults_read(part);
}

static bool faults_run_deferred(void *part)
{
    Faults *faults = part;
    g_autoptr(GArray) deferred = NULL;

    if (!waiters_has_deferred(faults->waiters) ||
        !evict_is_below_cap(faults->evict)) {
        return false;
    }
    deferred = waiters_take_deferred(faults->waiters);
    for (guint i = 0; i < deferred->len; i++) {
        faults_take(faults, &g_array_index(deferred, MemFault, i));
    }
    return true;
}

const LanePart faults_part = {
    .init = faults_init,
    .run = faults_run,
};

const LanePart faults_deferred_pass = {
    .run = faults_run_deferred,
};
