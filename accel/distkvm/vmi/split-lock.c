/*
 * distkvm: the split-lock token
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/dispatch.h"
#include "split-lock.h"

/*
 * One mutex for all members.  vCPU threads, the engine's thread and the member
 * thread take it, and hold it while they post a frame, which never waits.
 */
static struct {
    QemuMutex lock;
    QemuCond changed;       /* busy, granted or failed                      */
    /* this node's part */
    bool busy;              /* a vCPU of this node asks, or is in its step  */
    bool granted;
    bool failed;            /* a node is lost: no grant will come           */
    int64_t asked_ns;       /* when it was asked for, by get_clock(), or 0  */
    /* node 0's ledger */
    CohNodeId holder;
    GQueue waiting;         /* CohNodeId, in the order of their frames      */
} token;

/* ------------------------------------------------------- node 0's ledger */

static void token_send(CohNodeId to, WireTokenKind kind)
{
    WireFrame frame = { .type = WIRE_TOKEN, .sub = kind };

    engine_post(distkvm->engine, to, &frame);
}

/*
 * Lock held.  False: no vCPU of this node waits for the split-lock token.
 */
static bool granted_here(void)
{
    if (!token.busy || token.granted) {
        return token.failed;
    }
    token.granted = true;
    token.asked_ns = 0;
    qemu_cond_broadcast(&token.changed);
    return true;
}

/* Lock held. */
static void grant_next(void)
{
    if (token.holder != COH_NODE_NONE || g_queue_is_empty(&token.waiting)) {
        return;
    }
    token.holder = GPOINTER_TO_UINT(g_queue_pop_head(&token.waiting));
    if (token.holder == distkvm->id) {
        granted_here();
    } else {
        token_send(token.holder, WIRE_TOKEN_GRANT);
    }
}

/*
 * A node asks once, waits, and gives back the split-lock token: else false.
 * It may seem to ask anew before it gives back, as frames may overtake each
 * other.  Lock held.
 */
static bool ledger(CohNodeId from, WireTokenKind kind)
{
    if (kind == WIRE_TOKEN_TAKE) {
        if (g_queue_find(&token.waiting, GUINT_TO_POINTER(from))) {
            return false;
        }
        g_queue_push_tail(&token.waiting, GUINT_TO_POINTER(from));
    } else {
        if (token.holder != from) {
            return false;
        }
        token.holder = COH_NODE_NONE;
    }
    grant_next();
    return true;
}

/* Node 0 takes part like any other node, without a frame.  Lock held. */
static void tell_ledger(WireTokenKind kind)
{
    /* After a loss a vCPU goes on without a grant, and has none to give back. */
    if (token.failed) {
        return;
    }
    if (distkvm_is_boot_node()) {
        ledger(distkvm->id, kind);
    } else {
        token_send(0, kind);
    }
}

static const char *serve(const WireFrame *frame)
{
    bool in_turn;

    QEMU_LOCK_GUARD(&token.lock);
    in_turn = frame->sub == WIRE_TOKEN_GRANT ? granted_here()
                                             : ledger(frame->from, frame->sub);
    return in_turn ? NULL : "a split-lock token out of turn";
}

static const FrameService token_service = {
    .name = "split-lock token", .context = FRAME_NOW, .serve = serve,
};

int64_t split_lock_waits_since_ns(CohNodeId *node)
{
    /* Node 0 knows which node has it; others ask node 0. */
    QEMU_LOCK_GUARD(&token.lock);
    *node = distkvm_is_boot_node() && token.holder != COH_NODE_NONE
            ? token.holder : 0;
    return token.asked_ns;
}

/* No token will come any more: wake every thread that waits. */
static void split_lock_fail(void *unused)
{
    QEMU_LOCK_GUARD(&token.lock);
    token.failed = true;
    token.asked_ns = 0;
    qemu_cond_broadcast(&token.changed);
}

void split_lock_init(void)
{
    qemu_mutex_init(&token.lock);
    qemu_cond_init(&token.changed);
    g_queue_init(&token.waiting);
    token.holder = COH_NODE_NONE;
    dispatch_register(WIRE_TOKEN, &token_service);
    failure_register(FAILURE_RELEASE, split_lock_fail, NULL);
}

/* --------------------------------------------------------- vCPU threads */

void split_lock_take(void)
{
    QEMU_LOCK_GUARD(&token.lock);
    while (token.busy && !token.failed) {
        qemu_cond_wait(&token.changed, &token.lock);
    }
    token.busy = true;
    token.asked_ns = token.failed ? 0 : get_clock();
    tell_ledger(WIRE_TOKEN_TAKE);
    while (!token.granted && !token.failed) {
        qemu_cond_wait(&token.changed, &token.lock);
    }
}

void split_lock_release(void)
{
    QEMU_LOCK_GUARD(&token.lock);
    token.granted = false;
    token.busy = false;
    qemu_cond_broadcast(&token.changed);
    tell_ledger(WIRE_TOKEN_RELEASE);
}
