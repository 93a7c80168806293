/*
 * distkvm: interrupts that move do not overtake older ones, between nodes
 *
 * Spec: docs/architecture.rst, "Interrupts".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/dispatch.h"
#include "irq-fence.h"
#include "msi-fence.h"
#include "accel/distkvm/trace.h"

static Fence *fence;

/* For threads that wait without the BQL, and for the log. */
static struct {
    QemuMutex lock;
    QemuCond cond;
    /* The rest is under the lock.  Frames of each node: */
    uint64_t served[COH_NODES_MAX];
    unsigned waiters[COH_NODES_MAX];
    /* Since when a thread waits, or an answer is owed; 0: none. */
    int64_t frames_since_ns[COH_NODES_MAX];
    int64_t answer_since_ns[COH_NODES_MAX];
    bool failed;
} waiting;

Fence *irq_fence(void)
{
    return fence;
}

void irq_fence_sent(CohNodeId to)
{
    fence_sent(fence, to);
    msi_fence_left(to);
}

void irq_fence_served(CohNodeId from)
{
    fence_served(fence, from);
    WITH_QEMU_LOCK_GUARD(&waiting.lock) {
        waiting.served[from]++;
        qemu_cond_broadcast(&waiting.cond);
    }
}

/* Without a wait: were they served? */
static bool is_served(CohNodeId from, uint64_t count)
{
    QEMU_LOCK_GUARD(&waiting.lock);
    return waiting.served[from] >= count || waiting.failed;
}

void irq_fence_wait(CohNodeId from, uint64_t count)
{
    bool locked = bql_locked();

    if (is_served(from, count)) {
        return;
    }
    if (locked) {
        bql_unlock();
    }
    WITH_QEMU_LOCK_GUARD(&waiting.lock) {
        if (!waiting.waiters[from]++) {
            waiting.frames_since_ns[from] = get_clock();
        }
        while (waiting.served[from] < count && !waiting.failed) {
            qemu_cond_wait(&waiting.cond, &waiting.lock);
        }
        if (!--waiting.waiters[from]) {
            waiting.frames_since_ns[from] = 0;
        }
    }
    if (locked) {
        bql_lock();
    }
}

int64_t irq_fence_waits_since_ns(CohNodeId *node)
{
    int64_t since = 0;

    *node = 0;
    QEMU_LOCK_GUARD(&waiting.lock);
    for (CohNodeId n = 0; n < distkvm->nodes && !waiting.failed; n++) {
        const int64_t each[] = {
            waiting.frames_since_ns[n], waiting.answer_since_ns[n],
        };

        for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
            if (each[i] && (!since || each[i] < since)) {
                since = each[i];
                *node = n;
            }
        }
    }
    return since;
}

/* --------------------------------------------------------------- frames */

/* @to has owed an answer since now, if it does not already; or no more. */
static void note_answer(CohNodeId to, bool owed)
{
    QEMU_LOCK_GUARD(&waiting.lock);
    if (!owed) {
        waiting.answer_since_ns[to] = 0;
    } else if (!waiting.answer_since_ns[to]) {
        waiting.answer_since_ns[to] = get_clock();
    }
}

static void post(CohNodeId to, WireFlushKind kind, uint64_t count)
{
    WireFrame frame = {
        .type = WIRE_FLUSH, .sub = kind, .flush = { .count = count },
    };

    trace_distkvm_irq_flush(to, kind, count);
    engine_post(distkvm->engine, to, &frame);
}

static void ask(CohNodeId to, uint64_t count)
{
    note_answer(to, true);
    post(to, WIRE_FLUSH_ASK, count);
}

static void answer(CohNodeId to, uint64_t count)
{
    post(to, WIRE_FLUSH_SERVED, count);
}

static const char *flush_serve(const WireFrame *frame)
{
    if (frame->sub == WIRE_FLUSH_SERVED) {
        const char *why = fence_answered(fence, frame->from,
                                         frame->flush.count);

        if (!why) {
            /* The time for the next answer begins anew. */
            note_answer(frame->from, false);
            note_answer(frame->from, fence_is_owed(fence, frame->from));
        }
        return why;
    }
    fence_asked(fence, frame->from, frame->flush.count);
    return NULL;
}

static const FrameService flush_service = {
    .name = "flush of interrupts", .context = FRAME_BQL, .serve = flush_serve,
};

/* Held interrupts stay where they are: the guest does not go on. */
static void fail(void *unused)
{
    QEMU_LOCK_GUARD(&waiting.lock);
    waiting.failed = true;
    qemu_cond_broadcast(&waiting.cond);
}

void irq_fence_init(void)
{
    static const FenceOps ops = { ask, answer, msi_fence_deliver };

    fence = fence_new(&ops);
    qemu_mutex_init(&waiting.lock);
    qemu_cond_init(&waiting.cond);
    failure_register(FAILURE_RELEASE, fail, NULL);
    dispatch_register(WIRE_FLUSH, &flush_service);
    msi_fence_init(fence);
}
