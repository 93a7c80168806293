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
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qemu/rcu.h"
#include "engine-internal.h"
#include "clock.h"
#include "trace.h"

#define FAULTS_PER_READ 16
/* An answer over TCP takes less, unless its sender sleeps deeply. */
#define ANSWER_SPIN_NS (200 * SCALE_US)
/* No peer is ahead by this much and still belongs. */
#define CLOCK_LEAP_NS (60 * NANOSECONDS_PER_SECOND)

void engine_break(Engine *e, const char *why)
{
    e->listener->broken(e->opaque, why);
}

/* ------------------------------------------------------------- frames */

void engine_send(Engine *e, CohNodeId to, WireFrame *frame)
{
    uint8_t head[WIRE_HEAD_BYTES];

    frame->from = e->node.id;
    frame->clock_ns = cluster_clock_ns();
    wire_encode_head(frame, head);
    trace_distkvm_send(to, frame->type, frame->sub, frame->addr, frame->len);
    STAT_ADD(e, frames_sent, 1);
    STAT_ADD(e, bytes_sent, WIRE_HEAD_BYTES + frame->len);
    e->transport->ops->send(e->transport, to, head, sizeof(head),
                            frame->payload, frame->len);
}

static void engine_frame(void *opaque, const void *buf, size_t len)
{
    Engine *e = opaque;
    const char *why = NULL;
    WireFrame frame;

    STAT_ADD(e, frames_received, 1);
    STAT_ADD(e, bytes_received, len);
    if (!wire_decode(buf, len, &frame) ||
        frame.from >= e->config.map.nodes || frame.from == e->node.id) {
        /* Nobody can be blamed for it: count, trace, ignore. */
        trace_distkvm_bad_frame(len);
        return;
    }
    trace_distkvm_recv(frame.from, frame.type, frame.sub, frame.addr, len);
    if (e->failed) {
        return;
    }
    if (frame.clock_ns - cluster_clock_ns() > CLOCK_LEAP_NS ||
        frame.clock_ns < 0) {
        e->listener->lost(e->opaque, frame.from, "its clock is absurd");
        return;
    }
    if (frame.type == WIRE_COH) {
        if (!engine_coh_frame(e, &frame, &why)) {
            e->listener->lost(e->opaque, frame.from, why);
        }
    } else {
        cluster_clock_observe(frame.clock_ns);
        e->listener->frame(e->opaque, &frame);
    }
}

static void engine_peer_lost(void *opaque, CohNodeId peer, const char *why)
{
    Engine *e = opaque;

    e->listener->lost(e->opaque, peer, why);
}

static const TransportListener transport_listener = {
    .frame = engine_frame,
    .lost = engine_peer_lost,
};

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

void engine_call(Engine *e, void (*fn)(Engine *, void *), void *opaque)
{
    EngineCall call = { .fn = fn, .opaque = opaque };

    qemu_event_init(&call.done, false);
    WITH_QEMU_LOCK_GUARD(&e->lock) {
        QSIMPLEQ_INSERT_TAIL(&e->calls, &call, next);
    }
    engine_kick(e);
    qemu_event_wait(&call.done);
    qemu_event_destroy(&call.done);
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
        qemu_event_set(&call->done);
        any = true;
    }
    return any;
}

typedef struct ConnectCall {
    CohNodeId peer;
    const void *addr;
    size_t len;
    Error **errp;
    bool ok;
} ConnectCall;

static void call_connect(Engine *e, void *opaque)
{
    ConnectCall *c = opaque;

    c->ok = e->transport->ops->connect(e->transport, c->peer, c->addr, c->len,
                                       c->errp);
}

bool engine_connect(Engine *e, CohNodeId peer, const void *addr, size_t len,
                    Error **errp)
{
    ConnectCall c = { .peer = peer, .addr = addr, .len = len, .errp = errp };

    engine_call(e, call_connect, &c);
    return c.ok;
}

static void call_disconnect(Engine *e, void *opaque)
{
    e->transport->ops->disconnect(e->transport, *(CohNodeId *)opaque);
}

void engine_disconnect(Engine *e, CohNodeId peer)
{
    engine_call(e, call_disconnect, &peer);
}

static void call_joined(Engine *e, void *opaque)
{
    e->joined = true;
}

void engine_joined(Engine *e)
{
    engine_call(e, call_joined, NULL);
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
    engine_call(e, call_pin, &pin);
}

static void call_fail(Engine *e, void *opaque)
{
    if (!e->failed) {
        e->failed = true;
        /* What is here stays here: nobody is left to take it. */
        g_array_set_size(e->held, 0);
        g_queue_clear_full(&e->local, g_free);
        engine_release_lost(e);
        engine_wishes_fail(e);
    }
}

void engine_fail(Engine *e)
{
    engine_call(e, call_fail, NULL);
}

typedef struct DescribeCall {
    CohNodeId peer;
    char *text;
} DescribeCall;

static void call_describe(Engine *e, void *opaque)
{
    DescribeCall *c = opaque;

    c->text = e->transport->ops->describe(e->transport, c->peer);
}

char *engine_describe_peer(Engine *e, CohNodeId peer)
{
    DescribeCall c = { .peer = peer };

    engine_call(e, call_describe, &c);
    return c.text;
}

void engine_stats(Engine *e, EngineStats *stats)
{
    /* Counters are written by one thread; a torn view is no harm. */
    memcpy(stats, &e->stats, sizeof(*stats));
}

/* ---------------------------------------------------------------- loop */

static bool engine_run_faults(Engine *e)
{
    MemFault fault[FAULTS_PER_READ];
    int n = mem_faults(e->mem, fault, FAULTS_PER_READ);

    for (int i = 0; i < n; i++) {
        engine_fault(e, &fault[i]);
    }
    return n > 0;
}

static bool engine_run_once(Engine *e)
{
    bool any = false;

    any |= engine_run_posts(e);
    while (e->transport->ops->poll(e->transport)) {
        any = true;
        engine_run_local(e);
    }
    any |= engine_run_faults(e);
    any |= engine_run_local(e);
    any |= engine_run_held(e);
    any |= engine_run_evictions(e);
    any |= engine_run_wishes(e);
    any |= engine_run_local(e);
    return any;
}

static void engine_sleep(Engine *e)
{
    struct pollfd fds[] = {
        { .fd = event_notifier_get_fd(&e->kick), .events = POLLIN },
        { .fd = mem_fd(e->mem), .events = POLLIN },
        { .fd = e->transport->ops->wait_fd(e->transport), .events = POLLIN },
    };
    int64_t due = MIN(MIN(engine_held_due_ns(e), e->evict_due_ns),
                      e->wish_due_ns);
    int64_t timeout = due == INT64_MAX ? -1 : MAX(due - get_clock(), 0);

    qatomic_set(&e->sleeping, true);
    /* Pairs with the barrier in engine_kick(). */
    smp_mb();
    if (QSIMPLEQ_EMPTY_ATOMIC(&e->posts) &&
        QSIMPLEQ_EMPTY_ATOMIC(&e->calls) && !qatomic_read(&e->stop) &&
        e->transport->ops->arm(e->transport)) {
        qemu_poll_ns((GPollFD *)fds, ARRAY_SIZE(fds), timeout);
    }
    qatomic_set(&e->sleeping, false);
    event_notifier_test_and_clear(&e->kick);
}

/* How long to look for work before sleeping. */
static int64_t spin_ns(Engine *e)
{
    if (e->follow.cpu < 0) {
        return e->config.spin_ns;
    }
    /* The CPU is that of a thread which waits, or else wants to run. */
    return g_hash_table_size(e->waiting) ? ANSWER_SPIN_NS : 0;
}

static void *engine_thread(void *opaque)
{
    Engine *e = opaque;
    int64_t idle_since = 0;

    follow_init(&e->follow, e->config.follow);
    while (!qatomic_read(&e->stop)) {
        if (engine_run_once(e)) {
            idle_since = 0;
        } else if (!idle_since) {
            idle_since = get_clock();
        } else if (get_clock() - idle_since > spin_ns(e)) {
            engine_sleep(e);
            idle_since = 0;
        }
    }
    return NULL;
}

Engine *engine_new(const EngineConfig *config, Mem *mem,
                   EngineTransportNew *transport_new,
                   const EngineListener *listener, void *opaque,
                   Error **errp)
{
    Engine *e = g_new0(Engine, 1);

    e->config = *config;
    e->mem = mem;
    e->listener = listener;
    e->opaque = opaque;
    e->transport = transport_new(&transport_listener, e, errp);
    if (!e->transport) {
        mem_free(mem);
        g_free(e);
        return NULL;
    }
    qemu_mutex_init(&e->lock);
    QSIMPLEQ_INIT(&e->posts);
    QSIMPLEQ_INIT(&e->calls);
    event_notifier_init(&e->kick, false);
    engine_coh_init(e);
    return e;
}

const void *engine_address(Engine *e, size_t *len)
{
    return e->transport->ops->address(e->transport, len);
}

void engine_start(Engine *e)
{
    qemu_thread_create(&e->thread, "distkvm-engine", engine_thread, e,
                       QEMU_THREAD_JOINABLE);
}

void engine_free(Engine *e)
{
    qatomic_set(&e->stop, true);
    event_notifier_set(&e->kick);
    qemu_thread_join(&e->thread);
    e->transport->ops->destroy(e->transport);
    mem_free(e->mem);
    engine_coh_free(e);
    follow_free(&e->follow);
    event_notifier_cleanup(&e->kick);
    qemu_mutex_destroy(&e->lock);
    g_free(e);
}
