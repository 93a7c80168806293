/*
 * distkvm: the engine's part that lets requests wait for a page's holder
 *
 * A request for a page that came a moment ago waits a little (hold.h), and one
 * for a page that is pinned waits until it is not.  That is as if the network
 * had taken longer.  What a vCPU fetched before it halted need not wait so long.
 * A lane knows its own pages' threads only.  Engine thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "engine-internal.h"

/* A pinned page is looked at again after this. */
#define PIN_RETRY_NS (20 * 1000)

/* A request held back while its page is held (hold.h) or pinned. */
typedef struct HeldEvent {
    CohEvent ev;
    int64_t due_ns;
    int64_t rest_ns;            /* due then if the page's thread rests */
    bool pinned;
} HeldEvent;

void engine_held_init(Engine *e)
{
    e->held = g_array_new(false, false, sizeof(HeldEvent));
    hold_init(&e->hold, e->config.hold_ns, e->config.walks_write
              ? HOLD_FETCHES_WALKS : HOLD_FETCHES);
}

void engine_held_free(Engine *e)
{
    g_array_unref(e->held);
}

void engine_held_drop(Engine *e)
{
    g_array_set_size(e->held, 0);
    qatomic_set(&e->holds, false);
}

/* Does it need the page to be at rest? */
static bool is_for_holder(const CohEvent *ev)
{
    return ev->type == COH_EV_FWD_GETS || ev->type == COH_EV_FWD_GETM ||
           ev->type == COH_EV_INV || ev->type == COH_EV_FWD_GETV;
}

static bool is_revocation(const CohEvent *ev)
{
    return ev->type == COH_EV_FWD_GETS || ev->type == COH_EV_FWD_GETM ||
           ev->type == COH_EV_INV;
}

bool engine_is_waiting(Engine *e, uint32_t tid)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, e->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        EngineWait *wait = value;

        if (wait->tid == tid && wait->blocked) {
            return true;
        }
    }
    return false;
}

/* See hold_until_waiting() for turns. */
static int64_t due_ns(Engine *e, const HeldEvent *held)
{
    uint32_t tid = hold_thread(&e->hold, held->ev.page);
    int64_t early = MIN(held->rest_ns, held->due_ns);

    if (held->pinned) {
        return held->due_ns;
    }
    /* Our own request waits behind this one: holding would delay both. */
    if (e->node.peer[held->ev.page].state == COH_PEER_SM_AD) {
        return 0;
    }
    if (e->listener->rests && e->listener->rests(e->opaque, tid)) {
        return early;
    }
    if (e->config.walks_write && engine_is_waiting(e, tid)) {
        return hold_until_waiting(&e->hold, held->ev.page,
                                  hold_has_turn(cluster_clock_ns(),
                                                e->config.map->nodes,
                                                e->node.id));
    }
    return held->due_ns;
}

/* Must the page stay a little longer?  Then until when. */
static bool is_held(Engine *e, HeldEvent *held)
{
    const CohEvent *ev = &held->ev;
    int64_t now = get_clock();

    if (e->pinned && e->node.peer[ev->page].state == COH_PEER_M) {
        held->due_ns = now + PIN_RETRY_NS;
        held->pinned = true;
        return true;
    }
    if (!is_revocation(ev)) {
        return false;
    }
    held->due_ns = hold_until(&e->hold, ev->page);
    held->rest_ns = hold_until_at_rest(&e->hold, ev->page);
    return due_ns(e, held) > now;
}

/* A home revokes a page once and waits: a second time is for the tables. */
static bool is_held_already(Engine *e, CohPage page)
{
    for (guint i = 0; i < e->held->len; i++) {
        if (g_array_index(e->held, HeldEvent, i).ev.page == page) {
            return true;
        }
    }
    return false;
}

void engine_event_or_hold(Engine *e, const CohEvent *ev, const void *data)
{
    HeldEvent held = { .ev = *ev };

    if (is_for_holder(ev) && !is_held_already(e, ev->page) &&
        is_held(e, &held)) {
        g_array_append_val(e->held, held);
        qatomic_set(&e->holds, true);
    } else {
        engine_event(e, ev, data);
    }
}

int64_t engine_held_due_ns(Engine *e)
{
    int64_t due = INT64_MAX;

    if (e->held->len && e->config.walks_write) {
        /* When the turn goes to another node, all is looked at again. */
        due = get_clock() + hold_turn_left_ns(cluster_clock_ns());
    }
    for (guint i = 0; i < e->held->len; i++) {
        due = MIN(due, due_ns(e, &g_array_index(e->held, HeldEvent, i)));
    }
    return due;
}

bool engine_run_held(Engine *e)
{
    int64_t now;
    bool any = false;

    if (!e->held->len) {
        return false;
    }
    now = get_clock();
    /* In order of arrival: the oldest request wins. */
    for (guint i = 0; i < e->held->len; ) {
        HeldEvent held = g_array_index(e->held, HeldEvent, i);

        if (due_ns(e, &held) > now) {
            i++;
            continue;
        }
        g_array_remove_index(e->held, i);
        engine_event_or_hold(e, &held.ev, NULL);
        any = true;
    }
    qatomic_set(&e->holds, e->held->len > 0);
    return any;
}
