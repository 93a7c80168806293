/*
 * distkvm: the part of a lane that lets requests wait for a busy home
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "stalled.h"

static void queue_free(gpointer queue)
{
    g_queue_free_full(queue, g_free);
}

static void stalled_init(void *part, LaneCtx *ctx)
{
    Stalled *stalled = part;

    stalled->ctx = ctx;
    stalled->queues = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                            g_free, queue_free);
}

static void stalled_free(void *part)
{
    Stalled *stalled = part;

    g_hash_table_unref(stalled->queues);
}

/* 0 if both ask for the page, or both for an operation, and by one node. */
static gint compare_requests(gconstpointer a, gconstpointer b)
{
    const CohEvent *x = a, *y = b;

    return x->from != y->from ||
           (x->type == COH_EV_GETV) != (y->type == COH_EV_GETV);
}

void stalled_add(Stalled *stalled, const CohEvent *ev)
{
    GQueue *queue = g_hash_table_lookup(stalled->queues, &ev->page);

    if (queue && g_queue_find_custom(queue, ev, compare_requests)) {
        lane_lose(stalled->ctx, ev->from, "it asked twice for the same page");
        return;
    }
    if (ev->bytes && stalled->puts[ev->from] == STALLED_PUTS_MAX) {
        lane_lose(stalled->ctx, ev->from, "it puts too many bytes at once");
        return;
    }
    if (!queue) {
        queue = g_queue_new();
        g_hash_table_insert(stalled->queues,
                            g_memdup2(&ev->page, sizeof(ev->page)), queue);
    }
    stalled->puts[ev->from] += ev->bytes != NULL;
    g_queue_push_tail(queue, lane_event_copy(ev));
}

void stalled_next(Stalled *stalled, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(stalled->queues, &page);
    CohEvent *ev;

    if (queue) {
        ev = g_queue_pop_head(queue);
        stalled->puts[ev->from] -= ev->bytes != NULL;
        lane_submit(stalled->ctx, ev);
        g_free(ev);
        if (g_queue_is_empty(queue)) {
            g_hash_table_remove(stalled->queues, &page);
        }
    }
}

const LanePart stalled_part = {
    .init = stalled_init,
    .free = stalled_free,
};
