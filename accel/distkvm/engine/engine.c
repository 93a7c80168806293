/*
 * distkvm: the engine's thread
 *
 * Gathers faults, frames, posts and calls, and hands them on; spins briefly
 * when it runs dry, because a wake-up costs more than the network, then
 * sleeps.  Never takes the BQL, never waits for a peer.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qemu/rcu.h"
#include "engine-internal.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/trace.h"

/* Peers may go on and on: posts, faults and sleepers wait meanwhile. */
#define POLLS_MAX 32
/* Transports that have been told of something may need telling again. */
#define ARM_TRIES 4
/* A thread that does not answer by then hangs. */
#define FAIL_MS 1000
/* An answer over TCP takes less, unless its sender sleeps deeply. */
#define ANSWER_SPIN_NS (200 * SCALE_US)

/* --------------------------------------------------- from other threads */

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    mailbox_post(&e->mailbox, to, frame);
}

void engine_rests(Engine *e)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        if (deliver_has_delayed(&e->all[lane]->deliver)) {
            mailbox_kick(&e->all[lane]->mailbox);
        }
    }
}

/* Run @fn in the thread of every lane, one after another. */
static void call_all(Engine *e, void (*fn)(Engine *, void *), void *opaque)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_call(&e->all[lane]->mailbox, fn, opaque, -1);
    }
}

static void call_joined(Engine *e, void *opaque)
{
    if (e->ctx.phase == LANE_ALONE) {
        e->ctx.phase = LANE_JOINED;
    }
}

void engine_joined(Engine *e)
{
    /* In order of calls: before any page is asked for. */
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_call(&e->all[lane]->mailbox, call_joined, NULL, 0);
    }
}

static void call_pin(Engine *e, void *opaque)
{
    e->ctx.pinned = *(bool *)opaque;
    if (!e->ctx.pinned) {
        engine_wishes_unpinned(e);
    }
}

void engine_pin(Engine *e, bool pin)
{
    call_all(e, call_pin, &pin);
}

static void call_fail(Engine *e, void *opaque)
{
    if (e->ctx.phase != LANE_FAILED) {
        e->ctx.phase = LANE_FAILED;
        deliver_part.fail(&e->deliver);
        wakeup_part.fail(&e->wakeup);
        g_queue_clear_full(&e->ctx.events, g_free);
        waiters_part.fail(&e->waiters);
        evict_part.fail(&e->evict);
        engine_wishes_fail(e);
        affinity_part.fail(&e->affinity);
    }
}

void engine_fail(Engine *e)
{
    bool stuck = false;

    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        stuck |= !mailbox_call(&e->all[lane]->mailbox, call_fail, NULL, FAIL_MS);
    }
    if (stuck) {
        mem_poison_all(e->ctx.mem);
    }
}

void engine_stats(Engine *e, EngineStats *stats)
{
    uint64_t *sum = (uint64_t *)stats;

    QEMU_BUILD_BUG_ON(sizeof(*stats) % sizeof(*sum));
    memset(stats, 0, sizeof(*stats));
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        const uint64_t *part = (const uint64_t *)&e->all[lane]->ctx.stats;

        /* Each counter is written by one thread. */
        for (size_t i = 0; i < sizeof(*stats) / sizeof(*sum); i++) {
            sum[i] += qatomic_read(&part[i]);
        }
    }
}

static void call_give_back(Engine *e, void *taken)
{
    prejoin_give_back(&e->prejoin, taken);
}

void engine_settle_early(Engine *e, bool keep)
{
    GQueue taken = G_QUEUE_INIT;
    PrejoinPage *copy;

    call_all(e, call_give_back, &taken);
    while ((copy = g_queue_pop_head(&taken))) {
        if (keep) {
            memcpy(mem_host(e->ctx.mem, copy->page), copy->data,
                   COH_PAGE_SIZE);
        }
        g_free(copy);
    }
}

unsigned engine_hot_pages(Engine *e, EngineHotPage *hot, unsigned max)
{
    unsigned n = 0;

    max = MIN(max, ENGINE_HOT_MAX);
    memset(hot, 0, max * sizeof(*hot));
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        n = heat_merge(&e->all[lane]->heat, hot, max, n);
    }
    return n;
}

/* -------------------------------------------------------------- liveness */

void engine_ping(Engine *e, CohNodeId peer)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_post(&e->all[lane]->mailbox, peer, alive_question());
    }
}

int64_t engine_answered_ns(Engine *e, CohNodeId peer, unsigned lane)
{
    return alive_answered_ns(&e->all[lane]->alive, peer);
}

bool engine_is_reached(Engine *e, CohNodeId peer)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        if (!alive_is_reached(&e->all[lane]->alive, peer)) {
            return false;
        }
    }
    return true;
}

static void call_look(Engine *e, void *unused)
{
    late_look(&e->late, alive_take_up(&e->alive));
}

void engine_watch(Engine *e, int64_t limit_ns)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        Engine *one = e->all[lane];

        if (alive_order(&one->alive, limit_ns)) {
            mailbox_call(&one->mailbox, call_look, NULL, 0);
        }
    }
}

int engine_hangs(Engine *e, int64_t limit_ns)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        if (alive_hangs(&e->all[lane]->alive, limit_ns)) {
            return lane;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------- loop */

/* How long to look for work before sleeping. */
static int64_t spin_ns(Engine *e)
{
    if (e->affinity.cpu < 0) {
        return e->ctx.config->spin_ns;
    }
    /* The CPU is that of a thread which waits, or else wants to run. */
    return waiters_count(&e->waiters) ? ANSWER_SPIN_NS : 0;
}

static bool engine_run_once(Engine *e)
{
    bool any = false;

    affinity_part.run(&e->affinity);
    any |= mailbox_part.run(&e->mailbox);
    for (int i = 0; i < POLLS_MAX && e->ctx.transport->ops->poll(e->ctx.transport);
         i++) {
        any = true;
        engine_run_local(e);
    }
    wakeup_part.run(&e->wakeup);
    /* A walk needs all its tables: they are asked for, and given, together. */
    if (e->ctx.config->walks_write) {
        outbox_cork(&e->outbox);
    }
    any |= faults_read(&e->faults);
    any |= engine_run_local(e);
    any |= deliver_part.run(&e->deliver);
    any |= faults_deferred_part.run(&e->faults);
    any |= evict_part.run(&e->evict);
    any |= engine_run_wishes(e);
    any |= engine_run_local(e);
    if (e->ctx.config->walks_write) {
        outbox_uncork(&e->outbox);
    }
    wakeup_part.run(&e->wakeup);
    return any;
}

/* False if there is something to do after all. */
static bool may_sleep(Engine *e)
{
    if (!mailbox_is_empty(&e->mailbox) || qatomic_read(&e->stop) ||
        wakeup_is_pending(&e->wakeup)) {
        return false;
    }
    for (int tries = 0; tries < ARM_TRIES; tries++) {
        if (e->ctx.transport->ops->arm(e->ctx.transport)) {
            return true;
        }
        /* Mostly it was told only of what is done already. */
        if (e->ctx.transport->ops->poll(e->ctx.transport)) {
            break;
        }
    }
    engine_run_local(e);
    return false;
}

static void engine_sleep(Engine *e)
{
    struct pollfd fds[] = {
        { .fd = mem_fd(e->ctx.mem, e->ctx.lane), .events = POLLIN },
        { .fd = mailbox_fd(&e->mailbox), .events = POLLIN },
        { .fd = e->ctx.transport->ops->wait_fd(e->ctx.transport), .events = POLLIN },
    };
    int64_t due, timeout;
    uint32_t bound;

    bound = affinity_bound_thread(&e->affinity);
    if (bound && !waiters_is_blocked(&e->waiters, bound)) {
        affinity_idle(&e->affinity);
    }
    e->ctx.faults_pending = true;
    mailbox_sleeps(&e->mailbox);
    if (may_sleep(e)) {
        due = MIN(MIN(deliver_part.due_ns(&e->deliver),
                      evict_part.due_ns(&e->evict)), e->wish_due_ns);
        timeout = due == INT64_MAX ? -1 : MAX(due - get_clock(), 0);
        qemu_poll_ns((GPollFD *)fds, ARRAY_SIZE(fds), timeout);
        faults_polled(&e->faults, fds[0].revents);
        e->alive.woken = fds[2].revents;
    }
    mailbox_wakes(&e->mailbox, fds[1].revents);
}

static void *engine_thread(void *opaque)
{
    Engine *e = opaque;
    int64_t idle_since = 0;

    affinity_start(&e->affinity, e->ctx.config->follow);
    if (e->affinity.denied && e == e->front) {
        say_info("distkvm: node %d: this host, or a sandbox, lets no thread"
                 " choose its CPU: follow=1 has no effect", e->ctx.node->id);
    }
    while (!qatomic_read(&e->stop)) {
        int64_t spin;

        if (engine_run_once(e)) {
            e->alive.woken = false;
            idle_since = 0;
            continue;
        }
        e->alive.woken = false;
        spin = spin_ns(e);
        if (!spin || (idle_since && get_clock() - idle_since > spin)) {
            engine_sleep(e);
            idle_since = 0;
        } else if (!idle_since) {
            idle_since = get_clock();
        }
    }
    return NULL;
}

static void lane_free(Engine *e)
{
    e->ctx.transport->ops->destroy(e->ctx.transport);
    engine_coh_free(e);
    affinity_part.free(&e->affinity);
    mailbox_part.free(&e->mailbox);
    qemu_mutex_destroy(&e->lock);
    g_free(e);
}

static Engine *lane_new(const EngineConfig *config, unsigned lane,
                        Engine *front, Mem *mem,
                        TransportNew *transport_new,
                        const EngineListener *listener, void *opaque,
                        Error **errp)
{
    Engine *e = g_new0(Engine, 1);

    if (!front) {
        e->config = *config;
    }
    e->ctx.config = front ? &front->config : &e->config;
    e->ctx.lane = lane;
    e->front = front ?: e;
    e->ctx.mem = mem;
    e->ctx.host = listener;
    e->ctx.opaque = opaque;
    e->ctx.transport = transport_new(&engine_transport_listener, e, errp);
    if (!e->ctx.transport) {
        g_free(e);
        return NULL;
    }
    qemu_mutex_init(&e->lock);
    e->mailbox.outbox = &e->outbox;
    e->mailbox.lane = e;
    mailbox_part.init(&e->mailbox, &e->ctx);
    outbox_part.init(&e->outbox, &e->ctx);
    affinity_part.init(&e->affinity, &e->ctx);
    engine_coh_init(e, e->front);
    return e;
}

Engine *engine_new(const EngineConfig *config, Mem *mem,
                   TransportNew *transport_new,
                   const EngineListener *listener, void *opaque,
                   Error **errp)
{
    Engine *all[LANES_MAX] = { NULL };

    for (unsigned lane = 0; lane < config->lanes.n; lane++) {
        all[lane] = lane_new(config, lane, all[0], mem, transport_new,
                             listener, opaque, errp);
        if (!all[lane]) {
            while (lane--) {
                lane_free(all[lane]);
            }
            mem_free(mem);
            return NULL;
        }
    }
    memcpy(all[0]->all, all, sizeof(all));
    all[0]->address = g_byte_array_new();
    engine_collect_addresses(all[0]);
    return all[0];
}

void engine_start(Engine *e)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        qemu_thread_create(&e->all[lane]->thread, "distkvm-engine",
                           engine_thread, e->all[lane], QEMU_THREAD_JOINABLE);
    }
}

void engine_free(Engine *e)
{
    Engine *all[LANES_MAX];
    unsigned lanes = e->ctx.config->lanes.n;

    memcpy(all, e->all, sizeof(all));
    for (unsigned lane = 0; lane < lanes; lane++) {
        qatomic_set(&all[lane]->stop, true);
        event_notifier_set(&all[lane]->mailbox.kick);
        qemu_thread_join(&all[lane]->thread);
    }
    mem_free(e->ctx.mem);
    g_byte_array_unref(e->address);
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        g_free(e->path[n]);
    }
    while (lanes--) {
        lane_free(all[lanes]);
    }
}
