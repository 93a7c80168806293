/*
 * distkvm: the part of a lane that delays requests for pages in use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "deliver.h"

/* A pinned page is looked at again after this. */
#define PIN_RETRY_NS (20 * SCALE_US)

/* A request that is delayed while its page is held (hold.h) or pinned. */
typedef struct DelayedEvent {
    CohEvent ev;                /* its bytes are this one's to free */
    int64_t due_ns;
    int64_t idle_due_ns;        /* if the page's thread is idle             */
    bool pinned;
} DelayedEvent;

static void deliver_init(void *part, LaneCtx *ctx)
{
    Deliver *deliver = part;

    deliver->ctx = ctx;
    deliver->delayed = g_array_new(false, false, sizeof(DelayedEvent));
    hold_init(deliver->hold, ctx->config->hold_ns,
              ctx->config->walks_write ? HOLD_FETCHES_WALKS : HOLD_FETCHES);
}

static void clear(Deliver *deliver)
{
    for (guint i = 0; i < deliver->delayed->len; i++) {
        g_free((void *)g_array_index(deliver->delayed, DelayedEvent,
                                     i).ev.bytes);
    }
    g_array_set_size(deliver->delayed, 0);
}

static void deliver_free(void *part)
{
    Deliver *deliver = part;

    clear(deliver);
    g_array_unref(deliver->delayed);
}

/* Pages stay: no node is left to take them. */
static void deliver_fail(void *part)
{
    Deliver *deliver = part;

    clear(deliver);
    qatomic_set(&deliver->any_delayed, false);
}

bool deliver_has_delayed(const Deliver *deliver)
{
    return qatomic_read(&deliver->any_delayed);
}

/* ---------------------------------------------------------- when it is due */

/* An operation (COH_EV_FWD_GETV) leaves the page here. */
static bool is_revocation(const CohEvent *ev)
{
    return lane_is_for_holder(ev->type) && ev->type != COH_EV_FWD_GETV;
}

static bool is_idle(const LaneCtx *ctx, uint32_t tid)
{
    return ctx->host->is_idle && ctx->host->is_idle(ctx->opaque, tid);
}

static int64_t due_ns(const Deliver *deliver, const DelayedEvent *delayed)
{
    const LaneCtx *ctx = deliver->ctx;
    CohPage page = delayed->ev.page;
    uint32_t tid = hold_thread(deliver->hold, page);

    if (delayed->pinned) {
        return delayed->due_ns;
    }
    /* Our own request waits behind this one: a hold would delay both. */
    if (ctx->node->peer[page].state == COH_PEER_SM_AD) {
        return 0;
    }
    if (is_idle(ctx, tid)) {
        return MIN(delayed->idle_due_ns, delayed->due_ns);
    }
    /* Nodes whose threads wait for each other's pages take turns. */
    if (ctx->config->walks_write &&
        waiters_is_blocked(deliver->waiters, tid)) {
        return hold_until_waiting(deliver->hold, page,
                                  hold_has_turn(cluster_clock_ns(),
                                                ctx->config->map->nodes,
                                                ctx->node->id));
    }
    return delayed->due_ns;
}

/*
 * An operation takes nothing away, and waits for a LOCK on its own page only.
 * So bytes that wait here are those of LOCK_PAGES pages at most.
 */
static bool is_pinned(const LaneCtx *ctx, const CohEvent *ev)
{
    return ctx->pinned && ctx->node->peer[ev->page].state == COH_PEER_M &&
           (is_revocation(ev) || lane_is_locked(ctx, ev->page));
}

/* Must the page stay a little longer?  Fills in until when. */
static bool must_wait(const Deliver *deliver, DelayedEvent *delayed)
{
    const LaneCtx *ctx = deliver->ctx;
    const CohEvent *ev = &delayed->ev;
    int64_t now = get_clock();

    if (is_pinned(ctx, ev)) {
        delayed->due_ns = now + PIN_RETRY_NS;
        delayed->pinned = true;
        return true;
    }
    if (!is_revocation(ev)) {
        return false;
    }
    delayed->due_ns = hold_until(deliver->hold, ev->page);
    delayed->idle_due_ns = hold_until_idle(deliver->hold, ev->page);
    return due_ns(deliver, delayed) > now;
}

/*
 * A home revokes a page once and waits: a second revocation of it is for the
 * protocol's tables to refuse.
 */
static bool is_delayed(const Deliver *deliver, CohPage page)
{
    for (guint i = 0; i < deliver->delayed->len; i++) {
        if (g_array_index(deliver->delayed, DelayedEvent, i).ev.page == page) {
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------- delivery */

void deliver_event(Deliver *deliver, const CohEvent *ev, const void *data)
{
    DelayedEvent delayed = { .ev = *ev };

    if (lane_is_for_holder(ev->type) && !is_delayed(deliver, ev->page) &&
        must_wait(deliver, &delayed)) {
        delayed.ev.bytes = ev->bytes ? g_memdup2(ev->bytes, ev->op.length)
                                     : NULL;
        g_array_append_val(deliver->delayed, delayed);
        qatomic_set(&deliver->any_delayed, true);
    } else {
        executor_event(deliver->executor, ev, data);
    }
}

static int64_t deliver_due_ns(void *part)
{
    Deliver *deliver = part;
    int64_t due = INT64_MAX;

    if (deliver->delayed->len && deliver->ctx->config->walks_write) {
        /* When the turn goes to another node, all due times change. */
        due = get_clock() + hold_turn_left_ns(cluster_clock_ns());
    }
    for (guint i = 0; i < deliver->delayed->len; i++) {
        due = MIN(due, due_ns(deliver, &g_array_index(deliver->delayed,
                                                      DelayedEvent, i)));
    }
    return due;
}

static bool deliver_run(void *part)
{
    Deliver *deliver = part;
    bool any = false;
    int64_t now;

    if (!deliver->delayed->len) {
        return false;
    }
    now = get_clock();
    /* In order of arrival: the oldest request wins. */
    for (guint i = 0; i < deliver->delayed->len; ) {
        DelayedEvent delayed = g_array_index(deliver->delayed, DelayedEvent,
                                             i);

        if (due_ns(deliver, &delayed) > now) {
            i++;
            continue;
        }
        g_array_remove_index(deliver->delayed, i);
        deliver_event(deliver, &delayed.ev, NULL);
        g_free((void *)delayed.ev.bytes);
        any = true;
    }
    qatomic_set(&deliver->any_delayed, deliver->delayed->len > 0);
    return any;
}

const LanePart deliver_part = {
    .init = deliver_init,
    .free = deliver_free,
    .run = deliver_run,
    .due_ns = deliver_due_ns,
    .fail = deliver_fail,
};
