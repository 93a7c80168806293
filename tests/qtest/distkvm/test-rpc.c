/*
 * distkvm: tests of frames that wait for an answer
 *
 * The node around rpc.c stands here: what it posts is kept, and answers are
 * given to its services as the engine's thread would.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/machine/rpc.h"
#include "accel/distkvm/node.h"

#define OWNER 1
#define STRANGER 2

__thread CPUState *current_cpu;

static QemuMutex lock;          /* the rest */
static QemuCond posted_changed;
static WireFrame posted;
static CohNodeId posted_to;
static unsigned n_posted, n_expelled;
static CohNodeId expelled;

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    QEMU_LOCK_GUARD(&lock);
    posted = *frame;
    posted_to = to;
    n_posted++;
    qemu_cond_broadcast(&posted_changed);
}

static void queue(void (*fn)(void *opaque), void *opaque)
{
    g_assert_not_reached();
}

static void expel(CohNodeId peer, const char *why)
{
    g_assert_nonnull(strstr(why, "an answer nobody asked for"));
    expelled = peer;
    n_expelled++;
}

static const DispatchHost host = { .queue = queue, .expel = expel };

/* A thread that calls, and its outcome. */
typedef struct Caller {
    QemuThread thread;
    uint64_t addr;
    bool answered;
    uint64_t data;
} Caller;

static void *call(void *opaque)
{
    Caller *c = opaque;
    WireFrame answer, request = {
        .type = WIRE_IO, .sub = WIRE_IO_READ, .io = { .addr = c->addr },
    };

    c->answered = rpc_call(OWNER, &request, WIRE_IO_REPLY, &answer);
    c->data = c->answered ? answer.io_reply.data : 0;
    return NULL;
}

/* Start a call, and return its frame as it was posted. */
static WireFrame begin(Caller *c, uint64_t addr)
{
    unsigned before;

    QEMU_LOCK_GUARD(&lock);
    before = n_posted;
    c->addr = addr;
    qemu_thread_create(&c->thread, "caller", call, c, QEMU_THREAD_JOINABLE);
    while (n_posted == before) {
        qemu_cond_wait(&posted_changed, &lock);
    }
    g_assert_cmpint(posted_to, ==, OWNER);
    g_assert_cmphex(posted.io.addr, ==, addr);
    return posted;
}

static bool answer(uint8_t type, CohNodeId from, uint64_t number,
                   uint64_t data)
{
    const WireFrame frame = {
        .type = type, .from = from,
        .io_reply = { .call = number, .data = data },
    };

    return dispatch_frame(&frame);
}

static void start(void)
{
    dispatch_start(&host);
    failure_init();
    rpc_init();
    rpc_register_answer(WIRE_IO_REPLY);
    rpc_register_answer(WIRE_PIC_VECTOR);
    n_expelled = 0;
}

/* Each call gets its own answer, in whatever order answers come. */
static void test_answers(void)
{
    enum { N = 5 };
    Caller callers[N];
    WireFrame frames[N];
    CohNodeId node = COH_NODE_NONE;
    int64_t since;

    start();
    g_assert_cmpint(rpc_waits_since_ns(&node), ==, 0);
    for (unsigned i = 0; i < N; i++) {
        frames[i] = begin(&callers[i], 100 + i);
    }
    since = rpc_waits_since_ns(&node);
    g_assert_cmpint(since, >, 0);
    g_assert_cmpint(node, ==, OWNER);
    for (unsigned i = N; i-- > 0; ) {
        g_assert_true(answer(WIRE_IO_REPLY, OWNER, frames[i].call, 7 * i));
        qemu_thread_join(&callers[i].thread);
        g_assert_true(callers[i].answered);
        g_assert_cmpint(callers[i].data, ==, 7 * i);
        /* The oldest is the last one to be answered. */
        g_assert_cmpint(rpc_waits_since_ns(&node), ==, i ? since : 0);
    }
    g_assert_cmpint(n_expelled, ==, 0);
}

/* Another node's answer, another type's, a number that is none, a second. */
static void test_wrong_answers(void)
{
    Caller caller;
    WireFrame frame;

    start();
    frame = begin(&caller, 5);
    g_assert_false(answer(WIRE_IO_REPLY, STRANGER, frame.call, 1));
    g_assert_cmpint(expelled, ==, STRANGER);
    g_assert_false(answer(WIRE_PIC_VECTOR, OWNER, frame.call, 1));
    g_assert_false(answer(WIRE_IO_REPLY, OWNER, frame.call + 1, 1));
    g_assert_cmpint(n_expelled, ==, 3);
    g_assert_true(answer(WIRE_IO_REPLY, OWNER, frame.call, 42));
    qemu_thread_join(&caller.thread);
    g_assert_cmpint(caller.data, ==, 42);
    g_assert_false(answer(WIRE_IO_REPLY, OWNER, frame.call, 43));
    g_assert_cmpint(n_expelled, ==, 4);
    g_assert_cmpint(expelled, ==, OWNER);
}

/* After a loss calls end without an answer, and answers blame no node. */
static void test_loss(void)
{
    Caller callers[2];
    WireFrame frame;

    if (g_test_subprocess()) {
        start();
        frame = begin(&callers[0], 1);
        begin(&callers[1], 2);
        failure_release();
        for (unsigned i = 0; i < 2; i++) {
            qemu_thread_join(&callers[i].thread);
            g_assert_false(callers[i].answered);
        }
        call(&callers[0]);
        g_assert_false(callers[0].answered);
        g_assert_true(answer(WIRE_IO_REPLY, OWNER, frame.call, 1));
        g_assert_cmpint(n_expelled, ==, 0);
        return;
    }
    g_test_trap_subprocess(NULL, 20 * G_USEC_PER_SEC, 0);
    g_test_trap_assert_passed();
}

/* Before all nodes are there. */
static void test_may_not(void)
{
    Caller caller = { 0 };

    start();
    node_set_formed(false);
    n_posted = 0;
    call(&caller);
    g_assert_false(caller.answered);
    node_set_formed(true);
    g_assert_cmpint(n_posted, ==, 0);
}

/* An answer goes to the node that called, with its number. */
static void test_answer(void)
{
    const WireFrame request = {
        .type = WIRE_IO, .from = STRANGER, .io = { .call = 99 },
    };
    WireFrame reply = { .type = WIRE_IO_REPLY, .io_reply = { .data = 3 } };

    rpc_answer(&request, &reply);
    g_assert_cmpint(posted_to, ==, STRANGER);
    g_assert_cmpint(posted.io_reply.call, ==, 99);
    g_assert_cmpint(posted.io_reply.data, ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qemu_mutex_init(&lock);
    qemu_cond_init(&posted_changed);
    distkvm = g_new0(DistKVM, 1);
    distkvm->vmi = DISTKVM_VMI_QTEST;
    node_set_formed(true);
    g_test_add_func("/rpc/answers", test_answers);
    g_test_add_func("/rpc/wrong-answers", test_wrong_answers);
    g_test_add_func("/rpc/loss", test_loss);
    g_test_add_func("/rpc/may-not", test_may_not);
    g_test_add_func("/rpc/answer", test_answer);
    return g_test_run();
}
