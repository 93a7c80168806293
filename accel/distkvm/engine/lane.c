/*
 * distkvm: a lane is a list of parts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "engine-internal.h"

static guint page_hash(gconstpointer key)
{
    return g_int64_hash(key);
}

void engine_coh_init(Engine *e, Engine *front)
{
    const ClusterMap *map = &e->ctx.config->map;

    lane_ctx_init(&e->ctx);
    e->ctx.node = &front->node;
    if (e == front) {
        e->node.id = e->ctx.config->id;
        e->node.map = map;
        e->node.peer = g_malloc0(coh_node_peer_bytes(map));
        e->node.home = g_malloc0(coh_node_home_bytes(map, e->node.id));
        e->evict_flags = g_malloc0(evict_flags_bytes(e->ctx.config));
        e->page_faults = g_new0(uint16_t, map->page_first[map->nodes]);
        e->ctx.stats.pages_home = map->page_first[e->ctx.node->id + 1] -
                              map->page_first[e->ctx.node->id];
    }
    e->executor = (Executor) {
        .codec = &e->codec, .late = &e->late, .outbox = &e->outbox,
        .preprotect = &e->preprotect, .stalled = &e->stalled,
        .waiters = &e->waiters, .wakeup = &e->wakeup,
        .hook = { { &evict_hooks, &e->evict }, { &request_hooks, e } },
    };
    executor_part.init(&e->executor, &e->ctx);
    e->alive.outbox = &e->outbox;
    alive_part.init(&e->alive, &e->ctx);
    e->wishes = g_hash_table_new_full(page_hash, g_int64_equal, g_free,
                                      (GDestroyNotify)g_queue_free);
    e->wish_due_ns = INT64_MAX;
    e->deliver = (Deliver) {
        .executor = &e->executor, .hold = &e->hold, .waiters = &e->waiters,
    };
    deliver_part.init(&e->deliver, &e->ctx);
    e->waiters.hold = &e->hold;
    waiters_part.init(&e->waiters, &e->ctx);
    wakeup_part.init(&e->wakeup, &e->ctx);
    stalled_part.init(&e->stalled, &e->ctx);
    preprotect_part.init(&e->preprotect, &e->ctx);
    e->evict = (Evict) {
        .executor = &e->executor, .hold = &e->hold, .waiters = &e->waiters,
        .ring.flags = front->evict_flags,
    };
    evict_part.init(&e->evict, &e->ctx);
    e->codec.pagewalk = &e->pagewalk;
    codec_part.init(&e->codec, &e->ctx);
    prejoin_part.init(&e->prejoin, &e->ctx);
    e->heat.faults = front->page_faults;
    heat_part.init(&e->heat, &e->ctx);
    e->prefetch = (Prefetch) {
        .evict = &e->evict, .executor = &e->executor, .outbox = &e->outbox,
        .pagewalk = &e->pagewalk, .prejoin = &e->prejoin,
        .waiters = &e->waiters, .wakeup = &e->wakeup,
    };
    prefetch_part.init(&e->prefetch, &e->ctx);
    e->faults = (Faults) {
        .affinity = &e->affinity, .evict = &e->evict,
        .executor = &e->executor, .heat = &e->heat,
        .prefetch = &e->prefetch, .prejoin = &e->prejoin,
        .waiters = &e->waiters,
    };
    faults_part.init(&e->faults, &e->ctx);
    e->late.outbox = &e->outbox;
    late_part.init(&e->late, &e->ctx);
}

void engine_coh_free(Engine *e)
{
    executor_part.free(&e->executor);
    waiters_part.free(&e->waiters);
    wakeup_part.free(&e->wakeup);
    stalled_part.free(&e->stalled);
    g_hash_table_unref(e->wishes);
    deliver_part.free(&e->deliver);
    prejoin_part.free(&e->prejoin);
    heat_part.free(&e->heat);
    late_part.free(&e->late);
    evict_part.free(&e->evict);
    codec_part.free(&e->codec);
    lane_ctx_free(&e->ctx);
    if (!e->ctx.lane) {
        g_free(e->node.peer);
        g_free(e->node.home);
        g_free(e->page_faults);
        g_free(e->evict_flags);
    }
}
