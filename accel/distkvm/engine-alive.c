/*
 * distkvm: the engine's part that knows whether it and its peers go on
 *
 * A control connection may live while the data path is gone, and a process
 * while one of its threads hangs.  So liveness is that of frames, page-sized
 * and answered by the engine's thread; and a page that does not come names the
 * node that keeps it.
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "clock.h"
#include "trace.h"

/* A lane that looks for work for so long does not sleep between pings. */
#define SPINS_NS SCALE_MS
/* A path may lose what is large and pass what is small. */
static const uint8_t ping_payload[WIRE_PAYLOAD_MAX];

void engine_ping(Engine *e, CohNodeId peer)
{
    const WireFrame frame = {
        .type = WIRE_PING, .sub = WIRE_PING_ASK,
        .len = sizeof(ping_payload), .payload = ping_payload,
    };

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        engine_post(e->all[lane], peer, &frame);
    }
}

void engine_ping_frame(Engine *e, const WireFrame *frame)
{
    EngineAlive *a = &e->alive;
    WireFrame answer = {
        .type = WIRE_PING, .sub = WIRE_PING_ANSWER,
        .arg = a->woken || e->config.spin_ns > SPINS_NS,
        .len = frame->len, .payload = frame->payload,
    };

    if (frame->sub == WIRE_PING_ASK) {
        engine_send(e, frame->from, &answer);
        return;
    }
    qatomic_set(&a->answered_ns[frame->from], host_boottime_ns());
    if (frame->arg && frame->len == sizeof(ping_payload)) {
        qatomic_set(&a->reached[frame->from], true);
    }
}

int64_t engine_answered_ns(Engine *e, CohNodeId peer, unsigned lane)
{
    return qatomic_read(&e->all[lane]->alive.answered_ns[peer]);
}

bool engine_is_reached(Engine *e, CohNodeId peer)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        if (!qatomic_read(&e->all[lane]->alive.reached[peer])) {
            return false;
        }
    }
    return true;
}

/* ----------------------------------------------------- pages that are late */

/* The node that must act before @page can come; this one if none is known. */
static CohNodeId keeper_of(Engine *e, CohPage page)
{
    CohNodeId home = cluster_map_home(&e->config.map, page);
    const CohHome *entry;
    CohNodeId keeper;

    if (home != e->node.id) {
        return home;
    }
    entry = &e->node.home[page - e->config.map.page_first[home]];
    keeper = coh_set_next(&entry->sharers, 0);
    if (keeper == e->node.id) {
        keeper = coh_set_next(&entry->sharers, keeper + 1);
    }
    if (entry->owner < e->config.map.nodes && entry->owner != e->node.id) {
        keeper = entry->owner;
    }
    return keeper < e->config.map.nodes ? keeper : e->node.id;
}

/* The page that is awaited for longest, and since when; false if none is. */
static bool latest_page(Engine *e, CohPage *page, int64_t *since_ns)
{
    GHashTableIter iter;
    gpointer key, value;
    bool any = false;

    g_hash_table_iter_init(&iter, e->waiting);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const EngineWait *wait = value;

        if (!any || wait->since_ns < *since_ns) {
            *page = *(CohPage *)key;
            *since_ns = wait->since_ns;
            any = true;
        }
    }
    return any;
}

/*
 * Twice in a row: this process may have been stopped, and what came meanwhile
 * is not read yet.
 */
static void call_look(Engine *e, void *unused)
{
    EngineAlive *a = &e->alive;
    int64_t limit_ns = qatomic_read(&a->limit_ns);
    int64_t since_ns = 0, late_ns;
    CohPage page = 0;

    qatomic_set(&a->looked, true);
    if (e->failed || !latest_page(e, &page, &since_ns)) {
        a->late_since_ns = 0;
        return;
    }
    late_ns = get_clock() - since_ns;
    if (late_ns > limit_ns && a->late_since_ns == since_ns &&
        a->late_page == page) {
        CohNodeId keeper = keeper_of(e, page);
        g_autofree char *why = g_strdup_printf(
            "page 0x%" PRIx64 " has been awaited for %" PRId64 " ms", page,
            late_ns / SCALE_MS);

        trace_distkvm_late(page, keeper, late_ns);
        if (keeper != e->node.id) {
            e->listener->lost(e->opaque, keeper, why);
        } else {
            engine_break(e, why);
        }
    }
    a->late_page = page;
    a->late_since_ns = since_ns;
}

int engine_watch(Engine *e, int64_t limit_ns)
{
    int64_t now = host_boottime_ns();
    int hangs = -1;

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        Engine *one = e->all[lane];
        EngineAlive *a = &one->alive;

        if (a->asked_ns && !qatomic_read(&a->looked)) {
            if (now - a->asked_ns > limit_ns && hangs < 0) {
                hangs = lane;
            }
            continue;
        }
        a->asked_ns = now;
        qatomic_set(&a->limit_ns, limit_ns);
        qatomic_set(&a->looked, false);
        engine_call_for(one, call_look, NULL, 0);
    }
    return hangs;
}
