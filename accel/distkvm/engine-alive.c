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
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "clock.h"
#include "trace.h"

/* A requester that misses a page says so by then, after its time. */
#define COMPLAIN_NS (400 * SCALE_MS)
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

static EngineServing *serving_of(Engine *e, CohPage page)
{
    return &e->alive.serving[page % ENGINE_SERVING];
}

void engine_serving(Engine *e, const CohEvent *ev, const CohNodeSet *asked,
                    bool first)
{
    EngineServing *s = serving_of(e, ev->page);

    if (first) {
        *s = (EngineServing) {
            .page = ev->page, .since_ns = get_clock(), .requester = ev->from,
        };
    }
    for (unsigned w = 0; w < COH_SET_WORDS; w++) {
        s->asked.word[w] |= asked->word[w];
    }
}

void engine_heard(Engine *e, CohPage page, CohNodeId from)
{
    EngineWait *wait = g_hash_table_lookup(e->waiting, &page);

    if (wait) {
        coh_set_add(&wait->heard, from);
    }
}

/* The entry of the page that @s tells of, if it is still being served. */
static const CohHome *entry_served(Engine *e, const EngineServing *s)
{
    const ClusterMap *map = &e->config.map;
    const CohHome *entry;

    if (!s->since_ns || cluster_map_home(map, s->page) != e->node.id) {
        return NULL;
    }
    entry = &e->node.home[s->page - map->page_first[e->node.id]];
    return coh_home_is_busy(entry->state) ? entry : NULL;
}

static void blame_for_page(Engine *e, CohNodeId node, CohPage page,
                           int64_t since_ns)
{
    int64_t late_ns = get_clock() - since_ns;
    g_autofree char *why = g_strdup_printf(
        "page 0x%" PRIx64 " has been awaited for %" PRId64 " ms", page,
        late_ns / SCALE_MS);

    trace_distkvm_late(page, node, late_ns);
    if (node == e->node.id) {
        engine_break(e, why);
    } else {
        e->listener->lost(e->opaque, node, why);
    }
}

/*
 * As the page's home: @requester misses it, and has heard of @heard.  A node
 * that was asked and has not acted is to blame; false if there is none.
 */
static bool blame_asked(Engine *e, CohPage page, CohNodeId requester,
                        const CohNodeSet *heard)
{
    EngineServing *s = serving_of(e, page);

    if (s->page != page || !entry_served(e, s) ||
        s->requester != requester) {
        return false;
    }
    for (CohNodeId n = coh_set_next(&s->asked, 0); n != COH_NODE_NONE;
         n = coh_set_next(&s->asked, n + 1)) {
        if (n != e->node.id && !coh_set_has(heard, n)) {
            blame_for_page(e, n, page, s->since_ns);
            return true;
        }
    }
    return false;
}

/*
 * A requester that neither misses its page nor says that it is done; of an
 * operation, the page's owner.
 */
static void look_at_served(Engine *e, int64_t limit_ns)
{
    int64_t now = get_clock();

    for (unsigned i = 0; i < ENGINE_SERVING; i++) {
        EngineServing *s = &e->alive.serving[i];
        const CohHome *entry = entry_served(e, s);

        if (entry && now - s->since_ns > limit_ns + COMPLAIN_NS &&
            entry->requester < e->config.map.nodes &&
            entry->requester != e->node.id) {
            blame_for_page(e, entry->requester, s->page, s->since_ns);
            s->since_ns = 0;
        }
    }
}

void engine_late_frame(Engine *e, const WireFrame *frame)
{
    int64_t limit_ns = qatomic_read(&e->alive.limit_ns);
    EngineServing *s = serving_of(e, frame->addr);
    CohNodeSet heard;

    for (unsigned w = 0; w < COH_SET_WORDS; w++) {
        heard.word[w] = ldq_le_p((const uint8_t *)frame->payload + 8 * w);
    }
    /* Not before its time: a node cannot have others expelled at once. */
    if (s->page == frame->addr && limit_ns &&
        get_clock() - s->since_ns > limit_ns / 2) {
        blame_asked(e, frame->addr, frame->from, &heard);
    }
}

static void complain(Engine *e, CohPage page, CohNodeId home,
                     const CohNodeSet *heard)
{
    uint8_t bytes[sizeof(CohNodeSet)];
    WireFrame frame = {
        .type = WIRE_LATE, .addr = page, .len = sizeof(bytes),
        .payload = bytes,
    };

    for (unsigned w = 0; w < COH_SET_WORDS; w++) {
        stq_le_p(bytes + 8 * w, heard->word[w]);
    }
    engine_send(e, home, &frame);
}

/*
 * A page of another home: the home knows whom it has asked.  It is to blame
 * itself if it does not act on that, nor give the page; as this node is for one
 * of its own that nobody else keeps.
 */
static void page_is_late(Engine *e, CohPage page, const EngineWait *wait,
                         int64_t limit_ns)
{
    CohNodeId home = cluster_map_home(&e->config.map, page);

    if (home == e->node.id && blame_asked(e, page, home, &wait->heard)) {
        return;
    }
    if (get_clock() - wait->since_ns > limit_ns + 2 * COMPLAIN_NS) {
        blame_for_page(e, home, page, wait->since_ns);
    } else if (home != e->node.id) {
        complain(e, page, home, &wait->heard);
    }
}

/* Who waits for longest, and for which page; NULL if nobody waits. */
static const EngineWait *longest_wait(Engine *e, CohPage *page)
{
    const EngineWait *longest = NULL;
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, e->waiting);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const EngineWait *wait = value;

        if (!longest || wait->since_ns < longest->since_ns) {
            longest = wait;
            *page = *(CohPage *)key;
        }
    }
    return longest;
}

/*
 * Twice in a row: this process may have been stopped, and what came meanwhile
 * is not read yet.
 */
static void call_look(Engine *e, void *unused)
{
    EngineAlive *a = &e->alive;
    int64_t limit_ns = qatomic_read(&a->limit_ns);
    const EngineWait *wait;
    bool again;
    CohPage page = 0;

    qatomic_set(&a->looked, true);
    if (e->failed) {
        return;
    }
    wait = longest_wait(e, &page);
    again = wait && a->late_since_ns == wait->since_ns && a->late_page == page;
    a->late_page = page;
    a->late_since_ns = wait ? wait->since_ns : 0;
    if (again && get_clock() - wait->since_ns > limit_ns) {
        page_is_late(e, page, wait, limit_ns);
    }
    look_at_served(e, limit_ns);
}

int engine_hangs(Engine *e, int64_t limit_ns)
{
    int64_t now = host_boottime_ns();

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        EngineAlive *a = &e->all[lane]->alive;

        if (a->asked_ns && !qatomic_read(&a->looked) &&
            now - a->asked_ns > limit_ns) {
            return lane;
        }
    }
    return -1;
}

void engine_watch(Engine *e, int64_t limit_ns)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        Engine *one = e->all[lane];
        EngineAlive *a = &one->alive;

        if (a->asked_ns && !qatomic_read(&a->looked)) {
            continue;
        }
        a->asked_ns = host_boottime_ns();
        qatomic_set(&a->limit_ns, limit_ns);
        qatomic_set(&a->looked, false);
        engine_call_for(one, call_look, NULL, 0);
    }
}
