/*
 * distkvm: tests of the split-lock token
 *
 * The node around split-lock.c stands here: frames that it posts are kept, and
 * frames of other nodes are given to its service as the engine's thread would.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/vmi/split-lock.h"
#include "accel/distkvm/wire/dispatch.h"

static QemuMutex lock;          /* the rest */
static QemuCond posted_changed;
/* The receiver and the kind of each frame, in order: "0t 0r". */
static GString *posted;
static unsigned n_expelled;

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    static const char kinds[] = {
        [WIRE_TOKEN_TAKE] = 't', [WIRE_TOKEN_GRANT] = 'g',
        [WIRE_TOKEN_RELEASE] = 'r',
    };

    QEMU_LOCK_GUARD(&lock);
    g_string_append_printf(posted, "%s%u%c", posted->len ? " " : "", to,
                           kinds[frame->sub]);
    qemu_cond_broadcast(&posted_changed);
}

static void check_posted(const char *wanted)
{
    QEMU_LOCK_GUARD(&lock);
    g_assert_cmpstr(posted->str, ==, wanted);
}

static void wait_posted(const char *wanted)
{
    QEMU_LOCK_GUARD(&lock);
    while (strcmp(posted->str, wanted)) {
        qemu_cond_wait(&posted_changed, &lock);
    }
}

static void queue(void (*fn)(void *opaque), void *opaque)
{
    g_assert_not_reached();
}

static void expel(CohNodeId peer, const char *why)
{
    g_assert_nonnull(strstr(why, "a split-lock token out of turn"));
    n_expelled++;
}

static const DispatchHost host = { .queue = queue, .expel = expel };

static bool said(CohNodeId from, WireTokenKind kind)
{
    const WireFrame frame = { .type = WIRE_TOKEN, .sub = kind, .from = from };

    return dispatch_frame(&frame);
}

static void *take(void *unused)
{
    split_lock_take();
    return NULL;
}

static void begin(QemuThread *thread)
{
    qemu_thread_create(thread, "vcpu", take, NULL, QEMU_THREAD_JOINABLE);
}

/* A vCPU of node 0 that must wait; the node that has the token. */
static CohNodeId begin_waiting(QemuThread *thread)
{
    CohNodeId node;

    begin(thread);
    while (!split_lock_waits_since_ns(&node)) {
        g_usleep(100);
    }
    return node;
}

static void start(CohNodeId id)
{
    distkvm->id = id;
    dispatch_start(&host);
    failure_init();
    split_lock_init();
}

/* Each test is a process: a node loses another node once. */
static bool is_own_process(void)
{
    if (g_test_subprocess()) {
        return true;
    }
    g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC, 0);
    g_test_trap_assert_passed();
    return false;
}

static void test_grant(void)
{
    QemuThread vcpu;
    CohNodeId node;

    if (!is_own_process()) {
        return;
    }
    start(1);
    begin(&vcpu);
    wait_posted("0t");
    g_assert_cmpint(split_lock_waits_since_ns(&node), >, 0);
    g_assert_cmpint(node, ==, 0);
    g_assert_true(said(0, WIRE_TOKEN_GRANT));
    qemu_thread_join(&vcpu);
    g_assert_cmpint(split_lock_waits_since_ns(&node), ==, 0);
    split_lock_release();
    check_posted("0t 0r");
    /* It did not ask again. */
    g_assert_false(said(0, WIRE_TOKEN_GRANT));
    g_assert_cmpint(n_expelled, ==, 1);
}

/* A vCPU that goes on after a loss gives back nothing that it has not got. */
static void test_loss(void)
{
    QemuThread vcpu;

    if (!is_own_process()) {
        return;
    }
    start(1);
    begin(&vcpu);
    wait_posted("0t");
    failure_release();
    qemu_thread_join(&vcpu);
    split_lock_release();
    check_posted("0t");
    /* The next one neither waits nor asks. */
    split_lock_take();
    split_lock_release();
    check_posted("0t");
    /* A grant that was under way blames no node. */
    g_assert_true(said(0, WIRE_TOKEN_GRANT));
    g_assert_cmpint(n_expelled, ==, 0);
}

/* Node 0 keeps the order of requests, its own among them. */
static void test_ledger(void)
{
    QemuThread vcpu;
    CohNodeId node;

    if (!is_own_process()) {
        return;
    }
    start(0);
    g_assert_true(said(1, WIRE_TOKEN_TAKE));
    check_posted("1g");
    node = begin_waiting(&vcpu);
    g_assert_cmpint(node, ==, 1);
    g_assert_true(said(2, WIRE_TOKEN_TAKE));
    g_assert_false(said(2, WIRE_TOKEN_TAKE));
    g_assert_false(said(2, WIRE_TOKEN_RELEASE));
    g_assert_cmpint(n_expelled, ==, 2);
    g_assert_true(said(1, WIRE_TOKEN_RELEASE));
    qemu_thread_join(&vcpu);
    check_posted("1g");
    split_lock_release();
    check_posted("1g 2g");
}

/* Node 0 lost a node while another one had it: its ledger stays as it was. */
static void test_loss_at_node_0(void)
{
    QemuThread vcpu;

    if (!is_own_process()) {
        return;
    }
    start(0);
    g_assert_true(said(1, WIRE_TOKEN_TAKE));
    begin_waiting(&vcpu);
    failure_release();
    qemu_thread_join(&vcpu);
    split_lock_release();
    split_lock_take();
    split_lock_release();
    g_assert_true(said(1, WIRE_TOKEN_RELEASE));
    g_assert_cmpint(n_expelled, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qemu_mutex_init(&lock);
    qemu_cond_init(&posted_changed);
    posted = g_string_new(NULL);
    distkvm = g_new0(DistKVM, 1);
    distkvm->nodes = 3;
    node_set_formed(true);
    g_test_add_func("/split-lock/grant", test_grant);
    g_test_add_func("/split-lock/loss", test_loss);
    g_test_add_func("/split-lock/ledger", test_ledger);
    g_test_add_func("/split-lock/loss-at-node-0", test_loss_at_node_0);
    return g_test_run();
}
