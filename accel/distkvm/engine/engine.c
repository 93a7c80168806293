/*
 * distkvm: the engine, all lanes of this node
 *
 * Hands calls of other threads to the lanes they concern, and waits for them
 * where the caller shall wait.  Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "engine.h"
#include "engine-internal.h"
#include "stats.h"

/* A thread that does not answer by then hangs. */
#define FAIL_MS 1000
/* A thread that does not serve a call of membership by then hangs. */
#define HANG_MS 10000

/*
 * Call @fn in the thread of every lane, one after another.  False: a lane
 * hangs after a loss.  It may go on later, so @opaque must stay for ever.
 */
static bool call_all(Engine *e, MailboxFn *fn, void *opaque)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        if (qatomic_read(&e->hung) ||
            !mailbox_call_done(&e->lane[n]->mailbox, fn, opaque, &e->hung)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------- begin and end */

static void make_tables(Engine *e)
{
    const ClusterMap *map = e->config.map;
    CohNode *node = &e->tables.node;

    node->id = e->config.id;
    node->map = map;
    node->peer = g_malloc0(coh_node_peer_bytes(map));
    /* One block: the host gives memory only where an entry is written. */
    coh_node_set_homes(node, g_malloc(coh_node_index_bytes(map)),
                       g_malloc0(coh_node_home_bytes(map, node->id)));
    e->tables.page_faults = g_new0(uint16_t, map->pages);
    e->tables.evict_flags = g_malloc0(evict_flags_bytes(&e->config));
    e->tables.census = census_new(map);
}

static void free_lanes(Engine *e)
{
    while (e->lanes) {
        lane_free(e->lane[--e->lanes]);
    }
    g_byte_array_unref(e->address);
    g_free(e->tables.node.peer);
    g_free(e->tables.node.home);
    g_free(e->tables.node.entries);
    g_free(e->tables.page_faults);
    g_free(e->tables.evict_flags);
    g_free(e->tables.census);
    g_free(e);
}

static void collect_addresses(Engine *e)
{
    g_byte_array_set_size(e->address, 0);
    for (unsigned n = 0; n < e->lanes; n++) {
        connect_append_address(&e->lane[n]->connect, e->address);
    }
}

Engine *engine_new(const EngineConfig *config, Mem *mem,
                   TransportNew *transport_new,
                   const EngineListener *listener, void *opaque,
                   Error **errp)
{
    Engine *e = g_new0(Engine, 1);
    LaneCtx ctx = {
        .config = &e->config, .mem = mem, .host = listener, .opaque = opaque,
    };

    e->config = *config;
    e->mem = mem;
    e->address = g_byte_array_new();
    make_tables(e);
    for (; ctx.lane < config->lanes.n; ctx.lane++) {
        Lane *lane = lane_new(&ctx, &e->tables);

        e->lane[e->lanes++] = lane;
        if (!connect_set_transport(&lane->connect, transport_new, errp)) {
            free_lanes(e);
            mem_free(mem);
            return NULL;
        }
    }
    e->lane[0]->ctx.stats.pages_home = config->map->share[config->id];
    collect_addresses(e);
    return e;
}

void engine_start(Engine *e)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        lane_start(e->lane[n]);
    }
}

void engine_free(Engine *e)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        lane_end(e->lane[n]);
    }
    mem_free(e->mem);
    free_lanes(e);
}

/* ------------------------------------------------------------ never waits */

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    Lane *lane = e->lane[0];

    /* Before it can arrive. */
    frame_count_sent(&lane->frames, to, frame);
    mailbox_post(&lane->mailbox, to, frame);
}

void engine_thread_idle(Engine *e)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        if (deliver_has_delayed(&e->lane[n]->deliver)) {
            mailbox_kick(&e->lane[n]->mailbox);
        }
    }
}

void *engine_host(Engine *e, CohPage page)
{
    return mem_host(e->mem, page);
}

bool engine_find(Engine *e, const void *host, uint64_t *addr)
{
    return mem_find(e->mem, host, addr);
}

/* -------------------------------------------------------------- liveness */

void engine_ping(Engine *e, CohNodeId peer)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        mailbox_post(&e->lane[n]->mailbox, peer, alive_question());
    }
}

int64_t engine_answered_ns(Engine *e, CohNodeId peer, unsigned lane)
{
    return alive_answered_ns(&e->lane[lane]->alive, peer);
}

bool engine_is_reached(Engine *e, CohNodeId peer)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        if (!alive_is_reached(&e->lane[n]->alive, peer)) {
            return false;
        }
    }
    return true;
}

static void call_look(Lane *lane, void *unused)
{
    int64_t limit_ns = alive_take_up(&lane->alive);

    late_look(&lane->late, limit_ns);
    requests_look(&lane->requests, limit_ns);
}

void engine_watch(Engine *e, int64_t limit_ns)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        if (alive_order(&e->lane[n]->alive, limit_ns)) {
            mailbox_call(&e->lane[n]->mailbox, call_look, NULL, 0);
        }
    }
}

int engine_hangs(Engine *e, int64_t limit_ns)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        if (alive_hangs(&e->lane[n]->alive, limit_ns)) {
            return n;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------- peers */

/*
 * Membership waits for these calls, and must go on to say that a thread does
 * not do them.  So their data is their own, and stays if that happens.
 */
typedef struct ConnectCall {
    TransportNew *transport_new;
    TransportPeer peer;
    Cookie ours, theirs;
    uint8_t *address;
    Error *err;
    bool ok;
} ConnectCall;

static bool call_in_time(Lane *lane, MailboxFn *fn, ConnectCall *c,
                         Error **errp)
{
    bool ok;

    if (!mailbox_call(&lane->mailbox, fn, c, HANG_MS)) {
        error_setg(errp, "distkvm: this node's engine thread (lane %u) hangs",
                   lane->ctx.lane);
        return false;
    }
    ok = c->ok;
    error_propagate(errp, c->err);
    g_free(c->address);
    g_free(c);
    return ok;
}

static void call_transport(Lane *lane, void *opaque)
{
    ConnectCall *c = opaque;

    c->ok = connect_set_transport(&lane->connect, c->transport_new, &c->err);
}

bool engine_set_transport(Engine *e, TransportNew *transport_new, Error **errp)
{
    bool ok = true;

    for (unsigned n = 0; ok && n < e->lanes; n++) {
        ConnectCall *c = g_new0(ConnectCall, 1);

        c->transport_new = transport_new;
        ok = call_in_time(e->lane[n], call_transport, c, errp);
    }
    collect_addresses(e);
    return ok;
}

const void *engine_address(Engine *e, size_t *len)
{
    *len = e->address->len;
    return e->address->len ? e->address->data : NULL;
}

static void call_connect(Lane *lane, void *opaque)
{
    ConnectCall *c = opaque;

    c->ok = connect_peer(&lane->connect, &c->peer, &c->err);
    if (c->peer.stream) {
        object_unref(OBJECT(c->peer.stream));
    }
}

bool engine_connect_lane(Engine *e, unsigned lane, const TransportPeer *peer,
                         Error **errp)
{
    ConnectCall *c = g_new0(ConnectCall, 1);

    c->peer = *peer;
    if (peer->address) {
        c->ours = *peer->ours;
        c->theirs = *peer->theirs;
        c->address = g_memdup2(peer->address, peer->address_len);
        c->peer.ours = &c->ours;
        c->peer.theirs = &c->theirs;
        c->peer.address = c->address;
    }
    if (peer->stream) {
        object_ref(OBJECT(peer->stream));
    }
    return call_in_time(e->lane[lane], call_connect, c, errp);
}

bool engine_connect(Engine *e, const TransportPeer *peer, Error **errp)
{
    bool ok = true;

    for (unsigned n = 0; ok && n < e->lanes; n++) {
        ok = engine_connect_lane(e, n, peer, errp);
    }
    return ok;
}

static void call_disconnect(Lane *lane, void *opaque)
{
    connect_drop_peer(&lane->connect, GPOINTER_TO_UINT(opaque));
}

void engine_disconnect(Engine *e, CohNodeId peer)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        mailbox_call(&e->lane[n]->mailbox, call_disconnect,
                     GUINT_TO_POINTER(peer), HANG_MS);
    }
}

char *engine_describe_peer(Engine *e, CohNodeId peer)
{
    char *path = NULL;

    for (unsigned n = 0; !path && n < e->lanes; n++) {
        path = connect_describe(&e->lane[n]->connect, peer);
    }
    return path ?: g_strdup("none");
}

/* ---------------------------------------------------------------- phases */

static void call_joined(Lane *lane, void *unused)
{
    if (lane->ctx.phase == LANE_ALONE) {
        lane->ctx.phase = LANE_JOINED;
    }
}

void engine_joined(Engine *e)
{
    /* In order of calls: before any page is asked for. */
    for (unsigned n = 0; n < e->lanes; n++) {
        mailbox_call(&e->lane[n]->mailbox, call_joined, NULL, 0);
    }
}

static void call_give_back(Lane *lane, void *taken)
{
    prejoin_give_back(&lane->prejoin, taken);
}

void engine_settle_prejoin(Engine *e, bool restore)
{
    GQueue *taken = g_queue_new();
    PrejoinPage *copy;

    if (!call_all(e, call_give_back, taken)) {
        return;
    }
    while ((copy = g_queue_pop_head(taken))) {
        if (restore) {
            memcpy(mem_host(e->mem, copy->page), copy->data, COH_PAGE_SIZE);
        }
        g_free(copy);
    }
    g_queue_free(taken);
}

static void call_pin(Lane *lane, void *pages)
{
    memcpy(lane->ctx.locked, pages, sizeof(lane->ctx.locked));
    lane->ctx.pinned = true;
}

void engine_pin(Engine *e, CohPage first, CohPage second)
{
    CohPage pages[LOCK_PAGES] = { first, second };
    void *copy = g_memdup2(pages, sizeof(pages));

    if (call_all(e, call_pin, copy)) {
        g_free(copy);
    }
}

static void call_unpin(Lane *lane, void *unused)
{
    lane->ctx.pinned = false;
    requests_unpinned(&lane->requests);
}

void engine_unpin(Engine *e)
{
    call_all(e, call_unpin, NULL);
}

static void call_fail(Lane *lane, void *unused)
{
    lane_fail(lane);
}

void engine_fail(Engine *e)
{
    bool stuck = false;

    for (unsigned n = 0; n < e->lanes; n++) {
        stuck |= !mailbox_call(&e->lane[n]->mailbox, call_fail, NULL,
                               FAIL_MS);
    }
    if (stuck) {
        qatomic_set(&e->hung, true);
        mem_poison_all(e->mem);
    }
}

/* -------------------------------------------------------------------- cap */

void engine_set_cap(Engine *e, uint64_t cap_pages, unsigned snapshots)
{
    for (unsigned n = 0; n < e->lanes; n++) {
        evict_order_cap(&e->lane[n]->evict, cap_pages);
        codec_order_snapshots(&e->lane[n]->codec, snapshots);
        mailbox_kick(&e->lane[n]->mailbox);
    }
}

uint64_t engine_excess_pages(Engine *e)
{
    uint64_t pages = 0;

    for (unsigned n = 0; n < e->lanes; n++) {
        pages += evict_excess_pages(&e->lane[n]->evict);
    }
    return pages;
}

/* ------------------------------------------------------------- statistics */

void engine_stats(Engine *e, EngineStats *stats)
{
    memset(stats, 0, sizeof(*stats));
    for (unsigned n = 0; n < e->lanes; n++) {
        stats_add(stats, &e->lane[n]->ctx.stats);
    }
}

void engine_size(Engine *e, EngineSize *size)
{
    const ClusterMap *map = e->config.map;
    const LaneTables *t = &e->tables;

    size->home_bytes = stats_resident_bytes(
        t->node.entries, coh_node_home_bytes(map, t->node.id));
    size->page_bytes = stats_resident_bytes(t->node.peer,
                                            coh_node_peer_bytes(map)) +
                       stats_resident_bytes(t->page_faults,
                                            map->pages *
                                            sizeof(*t->page_faults));
    size->snapshot_bytes = 0;
    for (unsigned n = 0; n < e->lanes; n++) {
        size->snapshot_bytes += codec_bytes(&e->lane[n]->codec);
    }
}

EnginePages engine_pages(Engine *e, uint64_t first, uint64_t n)
{
    CensusCounts sum = census_sum(e->tables.census, first, n);

    return (EnginePages) { .present = sum.present, .owned = sum.owned };
}

unsigned engine_hot_pages(Engine *e, EngineHotPage *hot, unsigned max)
{
    unsigned n = 0;

    max = MIN(max, ENGINE_HOT_MAX);
    memset(hot, 0, max * sizeof(*hot));
    for (unsigned lane = 0; lane < e->lanes; lane++) {
        n = heat_merge(&e->lane[lane]->heat, hot, max, n);
    }
    return n;
}
