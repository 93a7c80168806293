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

#define FAULTS_PER_READ 16
/* Who does not come to sleep looks for faults after so many passes. */
#define UNSEEN_MAX 3
/* Peers may go on and on: posts, faults and sleepers wait meanwhile. */
#define POLLS_MAX 32
/* Transports that have been told of something may need telling again. */
#define ARM_TRIES 4
/* A thread that does not answer by then hangs. */
#define FAIL_MS 1000
/* An answer over TCP takes less, unless its sender sleeps deeply. */
#define ANSWER_SPIN_NS (200 * SCALE_US)

void engine_break(Engine *e, const char *why)
{
    e->listener->broken(e->opaque, why);
}

/* --------------------------------------------------- from other threads */

static void engine_kick(Engine *e)
{
    /* Pairs with the barrier in engine_sleep(). */
    smp_mb();
    if (qatomic_read(&e->sleeping)) {
        event_notifier_set(&e->kick);
    }
}

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    EnginePost *post = g_malloc(sizeof(*post) + frame->len);

    /* Before it can arrive. */
    frame_count_sent(&e->frames, to, frame);
    post->to = to;
    post->frame = *frame;
    if (frame->len) {
        memcpy(post->payload, frame->payload, frame->len);
    }
    post->frame.payload = post->payload;
    WITH_QEMU_LOCK_GUARD(&e->lock) {
        QSIMPLEQ_INSERT_TAIL(&e->posts, post, next);
    }
    engine_kick(e);
}

static void call_unref(EngineCall *call)
{
    if (qatomic_fetch_dec(&call->refs) == 1) {
        qemu_sem_destroy(&call->done);
        g_free(call);
    }
}

bool engine_call_for(Engine *e, void (*fn)(Engine *, void *), void *opaque,
                     int ms)
{
    EngineCall *call = g_new0(EngineCall, 1);
    bool done;

    call->fn = fn;
    call->opaque = opaque;
    call->refs = 2;
    qemu_sem_init(&call->done, 0);
    WITH_QEMU_LOCK_GUARD(&e->lock) {
        QSIMPLEQ_INSERT_TAIL(&e->calls, call, next);
    }
    engine_kick(e);
    if (ms < 0) {
        qemu_sem_wait(&call->done);
        done = true;
    } else {
        done = qemu_sem_timedwait(&call->done, ms) == 0;
    }
    call_unref(call);
    return done;
}

void engine_call(Engine *e, void (*fn)(Engine *, void *), void *opaque)
{
    engine_call_for(e, fn, opaque, -1);
}

void engine_rests(Engine *e)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        if (qatomic_read(&e->all[lane]->holds)) {
            engine_kick(e->all[lane]);
        }
    }
}

static bool engine_run_posts(Engine *e)
{
    EnginePosts posts = QSIMPLEQ_HEAD_INITIALIZER(posts);
    EngineCalls calls = QSIMPLEQ_HEAD_INITIALIZER(calls);
    EnginePost *post;
    EngineCall *call;
    bool any = false;

    if (QSIMPLEQ_EMPTY_ATOMIC(&e->posts) && QSIMPLEQ_EMPTY_ATOMIC(&e->calls)) {
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&e->lock) {
        QSIMPLEQ_CONCAT(&posts, &e->posts);
        QSIMPLEQ_CONCAT(&calls, &e->calls);
    }
    while ((post = QSIMPLEQ_FIRST(&posts))) {
        QSIMPLEQ_REMOVE_HEAD(&posts, next);
        engine_send(e, post->to, &post->frame);
        g_free(post);
        any = true;
    }
    while ((call = QSIMPLEQ_FIRST(&calls))) {
        QSIMPLEQ_REMOVE_HEAD(&calls, next);
        call->fn(e, call->opaque);
        qemu_sem_post(&call->done);
        call_unref(call);
        any = true;
    }
    return any;
}

/* Run @fn in the thread of every lane, one after another. */
static void call_all(Engine *e, void (*fn)(Engine *, void *), void *opaque)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        engine_call(e->all[lane], fn, opaque);
    }
}

static void call_joined(Engine *e, void *opaque)
{
    e->joined = true;
}

void engine_joined(Engine *e)
{
    /* In order of calls: before any page is asked for. */
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        engine_call_for(e->all[lane], call_joined, NULL, 0);
    }
}

static void call_pin(Engine *e, void *opaque)
{
    e->pinned = *(bool *)opaque;
    if (!e->pinned) {
        engine_wishes_unpinned(e);
    }
}

void engine_pin(Engine *e, bool pin)
{
    call_all(e, call_pin, &pin);
}

static void call_fail(Engine *e, void *opaque)
{
    if (!e->failed) {
        e->failed = true;
        /* What is here stays here: nobody is left to take it. */
        engine_held_drop(e);
        engine_run_drop(e);
        g_queue_clear_full(&e->local, g_free);
        engine_release_lost(e);
        engine_wishes_fail(e);
        follow_rest(&e->follow);
    }
}

void engine_fail(Engine *e)
{
    bool stuck = false;

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        stuck |= !engine_call_for(e->all[lane], call_fail, NULL, FAIL_MS);
    }
    if (stuck) {
        mem_poison_all(e->mem);
    }
}

void engine_stats(Engine *e, EngineStats *stats)
{
    uint64_t *sum = (uint64_t *)stats;

    QEMU_BUILD_BUG_ON(sizeof(*stats) % sizeof(*sum));
    memset(stats, 0, sizeof(*stats));
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        const uint64_t *part = (const uint64_t *)&e->all[lane]->stats;

        /* Each counter is written by one thread. */
        for (size_t i = 0; i < sizeof(*stats) / sizeof(*sum); i++) {
            sum[i] += qatomic_read(&part[i]);
        }
    }
}

/* ---------------------------------------------------------------- loop */

/* How long to look for work before sleeping. */
static int64_t spin_ns(Engine *e)
{
    if (e->follow.cpu < 0) {
        return e->config.spin_ns;
    }
    /* The CPU is that of a thread which waits, or else wants to run. */
    return g_hash_table_size(e->waiting) ? ANSWER_SPIN_NS : 0;
}

/*
 * To look is a system call, and who spins for an answer waits for it; who is
 * about to sleep will be told instead.
 */
static bool should_look(Engine *e)
{
    return e->told || ++e->unseen >= UNSEEN_MAX;
}

bool engine_run_faults(Engine *e)
{
    MemFault fault[FAULTS_PER_READ];
    int n;

    if (!should_look(e)) {
        return false;
    }
    e->unseen = 0;
    n = mem_faults(e->mem, e->lane, fault, FAULTS_PER_READ);
    e->told = n == FAULTS_PER_READ;
    for (int i = 0; i < n; i++) {
        engine_fault(e, &fault[i]);
    }
    return n > 0;
}

static bool engine_run_once(Engine *e)
{
    bool any = false;

    if (e->follow.keep.tid) {
        follow_pass(&e->follow, get_clock());
    }
    any |= engine_run_posts(e);
    for (int i = 0; i < POLLS_MAX && e->transport->ops->poll(e->transport);
         i++) {
        any = true;
        engine_run_local(e);
    }
    engine_run_wakes(e);
    /* A walk needs all its tables: they are asked for, and given, together. */
    if (e->config.walks_write) {
        engine_cork(e);
    }
    any |= engine_run_faults(e);
    any |= engine_run_local(e);
    any |= engine_run_held(e);
    any |= engine_run_evictions(e);
    any |= engine_run_wishes(e);
    any |= engine_run_local(e);
    if (e->config.walks_write) {
        engine_uncork(e);
    }
    engine_run_wakes(e);
    return any;
}

/* False if there is something to do after all. */
static bool may_sleep(Engine *e)
{
    if (!QSIMPLEQ_EMPTY_ATOMIC(&e->posts) ||
        !QSIMPLEQ_EMPTY_ATOMIC(&e->calls) || qatomic_read(&e->stop) ||
        e->asleep->len) {
        return false;
    }
    for (int tries = 0; tries < ARM_TRIES; tries++) {
        if (e->transport->ops->arm(e->transport)) {
            return true;
        }
        /* Mostly it was told only of what is done already. */
        if (e->transport->ops->poll(e->transport)) {
            break;
        }
    }
    engine_run_local(e);
    return false;
}

static void engine_sleep(Engine *e)
{
    struct pollfd fds[] = {
        { .fd = mem_fd(e->mem, e->lane), .events = POLLIN },
        { .fd = event_notifier_get_fd(&e->kick), .events = POLLIN },
        { .fd = e->transport->ops->wait_fd(e->transport), .events = POLLIN },
    };
    int64_t due, timeout;

    if (e->follow.keep.tid && !engine_is_waiting(e, e->follow.keep.tid)) {
        follow_rest(&e->follow);
    }
    e->told = true;
    qatomic_set(&e->sleeping, true);
    /* Pairs with the barrier in engine_kick(). */
    smp_mb();
    if (may_sleep(e)) {
        due = MIN(MIN(engine_held_due_ns(e), e->evict_due_ns),
                  e->wish_due_ns);
        timeout = due == INT64_MAX ? -1 : MAX(due - get_clock(), 0);
        qemu_poll_ns((GPollFD *)fds, ARRAY_SIZE(fds), timeout);
        e->told = fds[0].revents;
        e->alive.woken = fds[2].revents;
        e->unseen = 0;
        if (fds[1].revents) {
            event_notifier_test_and_clear(&e->kick);
        }
    }
    /* A kick from here on ends the next sleep, at once and in vain. */
    qatomic_set(&e->sleeping, false);
}

static void *engine_thread(void *opaque)
{
    Engine *e = opaque;
    int64_t idle_since = 0;

    follow_init(&e->follow, e->config.follow);
    if (e->follow.denied && e == e->front) {
        say_info("distkvm: node %d: this host, or a sandbox, lets no thread"
                 " choose its CPU: follow=1 has no effect", e->node.id);
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
    e->transport->ops->destroy(e->transport);
    engine_coh_free(e);
    follow_free(&e->follow);
    event_notifier_cleanup(&e->kick);
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

    e->config = *config;
    e->config.delta_pages /= config->lanes.n;
    e->lane = lane;
    e->front = front ?: e;
    e->mem = mem;
    e->listener = listener;
    e->opaque = opaque;
    e->transport = transport_new(&engine_transport_listener, e, errp);
    if (!e->transport) {
        g_free(e);
        return NULL;
    }
    qemu_mutex_init(&e->lock);
    QSIMPLEQ_INIT(&e->posts);
    QSIMPLEQ_INIT(&e->calls);
    event_notifier_init(&e->kick, false);
    follow_init(&e->follow, false);
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
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        qemu_thread_create(&e->all[lane]->thread, "distkvm-engine",
                           engine_thread, e->all[lane], QEMU_THREAD_JOINABLE);
    }
}

void engine_free(Engine *e)
{
    Engine *all[LANES_MAX];
    unsigned lanes = e->config.lanes.n;

    memcpy(all, e->all, sizeof(all));
    for (unsigned lane = 0; lane < lanes; lane++) {
        qatomic_set(&all[lane]->stop, true);
        event_notifier_set(&all[lane]->kick);
        qemu_thread_join(&all[lane]->thread);
    }
    mem_free(e->mem);
    g_byte_array_unref(e->address);
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        g_free(e->path[n]);
    }
    while (lanes--) {
        lane_free(all[lanes]);
    }
}
