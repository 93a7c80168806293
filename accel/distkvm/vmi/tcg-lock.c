/*
 * distkvm: one misaligned LOCK at a time
 *
 * TCG executes a misaligned locked instruction as a load and a store, with
 * only this node's vCPUs stopped.  A token, kept by node 0, lets one node at
 * a time do so; meanwhile the pages that node owns stay with it, because
 * another node's aligned atomics do not ask for the token.  Waits on vCPU
 * threads only, without the BQL.  Spec: docs/architecture.rst, "LOCK".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu-common.h"
#include "exec/exec-all.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "system/distkvm.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "tcg-lock.h"

static struct {
    QemuMutex lock;
    QemuCond cond;
    /* this node; under lock */
    bool busy;              /* a vCPU of this node is in the step */
    bool granted;
    bool failed;
    int64_t asked_ns;       /* since when it is waited for; 0: it is not */
    /* node 0; engine thread */
    CohNodeId holder;
    GQueue waiting;         /* CohNodeId */
} token;

/* What made the vCPU of this thread step. */
static __thread uint64_t hint_addr;
static __thread int hint_size;
static __thread bool pinned;

void distkvm_atomic_hint(uint64_t addr, int size)
{
    hint_addr = addr;
    hint_size = size;
}

/* ------------------------------------------------------- node 0's ledger */

static void token_send(CohNodeId to, WireToken what);

static void grant_next(void)
{
    if (token.holder == COH_NODE_NONE && !g_queue_is_empty(&token.waiting)) {
        token.holder = GPOINTER_TO_UINT(g_queue_pop_head(&token.waiting));
        token_send(token.holder, WIRE_TOKEN_GRANT);
    }
}

/*
 * A node asks once, waits, and gives back what it got: else false.  It may ask
 * anew before it gives back: two of its vCPUs do so, and frames may overtake.
 */
static bool ledger(CohNodeId from, WireToken what)
{
    if (what == WIRE_TOKEN_TAKE) {
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

/* False: nobody here waits for it. */
static bool granted_here(void)
{
    QEMU_LOCK_GUARD(&token.lock);
    if (!token.busy || token.granted) {
        return token.failed;
    }
    token.granted = true;
    token.asked_ns = 0;
    qemu_cond_broadcast(&token.cond);
    return true;
}

/* The ledger's own node takes part like any other, without a frame. */
static QemuMutex *ledger_lock(void)
{
    static QemuMutex lock;
    static gsize once;

    if (g_once_init_enter(&once)) {
        qemu_mutex_init(&lock);
        g_once_init_leave(&once, 1);
    }
    return &lock;
}

static void token_send(CohNodeId to, WireToken what)
{
    WireFrame frame = { .type = WIRE_TOKEN, .sub = what };

    if (to == distkvm->id) {
        granted_here();
    } else {
        engine_post(distkvm->engine, to, &frame);
    }
}

static void tell_ledger(WireToken what)
{
    if (distkvm_is_boot_node()) {
        QEMU_LOCK_GUARD(ledger_lock());
        ledger(0, what);
    } else {
        token_send(0, what);
    }
}

void token_frame(const WireFrame *frame)
{
    bool asked;

    if (frame->sub == WIRE_TOKEN_GRANT) {
        asked = granted_here();
    } else {
        QEMU_LOCK_GUARD(ledger_lock());
        asked = ledger(frame->from, frame->sub);
    }
    if (!asked) {
        member_expel(frame->from, "it sent a token's message out of turn");
    }
}

int64_t token_waits_since_ns(CohNodeId *node)
{
    /* Node 0 knows which node has it; others ask node 0. */
    *node = 0;
    if (distkvm_is_boot_node()) {
        QEMU_LOCK_GUARD(ledger_lock());
        *node = token.holder == COH_NODE_NONE ? 0 : token.holder;
    }
    QEMU_LOCK_GUARD(&token.lock);
    return token.asked_ns;
}

/* No token will come any more: wake every thread that waits. */
static void token_fail(void *unused)
{
    QEMU_LOCK_GUARD(&token.lock);
    token.failed = true;
    token.asked_ns = 0;
    qemu_cond_broadcast(&token.cond);
}

void token_init(void)
{
    qemu_mutex_init(&token.lock);
    qemu_cond_init(&token.cond);
    g_queue_init(&token.waiting);
    token.holder = COH_NODE_NONE;
    failure_register(FAILURE_RELEASE, token_fail, NULL);
}

/* ------------------------------------------------------------- the step */

/* Where the RAM is that an access touches at @addr, or NULL. */
static uint8_t *ram_at(CPUState *cpu, uint64_t addr)
{
    void *host = NULL;
    int flags = probe_access_flags(cpu_env(cpu), addr, 1, MMU_DATA_STORE,
                                   cpu_mmu_index(cpu, false), true, &host, 0);

    return flags & (TLB_INVALID_MASK | TLB_MMIO) ? NULL : host;
}

void distkvm_atomic_pin(CPUState *cpu)
{
    uint64_t last = hint_addr + hint_size - 1;
    uint8_t *first_byte, *last_byte;

    if (!distkvm || !node_is_formed() || !hint_size) {
        return;
    }
    hint_size = 0;
    first_byte = ram_at(cpu, hint_addr);
    last_byte = ram_at(cpu, last & TARGET_PAGE_MASK);
    if (!first_byte || !last_byte) {
        /* A device: no page to keep, and pins must not wait for the BQL. */
        return;
    }
    pinned = true;
    engine_pin(distkvm->engine, true);
    qatomic_or(first_byte, 0);
    qatomic_or(last_byte, 0);
}

void distkvm_atomic_begin(CPUState *cpu)
{
    if (!distkvm || !node_is_formed()) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&token.lock) {
        while (token.busy && !token.failed) {
            qemu_cond_wait(&token.cond, &token.lock);
        }
        token.busy = true;
        token.asked_ns = token.failed ? 0 : get_clock();
    }
    tell_ledger(WIRE_TOKEN_TAKE);
    WITH_QEMU_LOCK_GUARD(&token.lock) {
        while (!token.granted && !token.failed) {
            qemu_cond_wait(&token.cond, &token.lock);
        }
    }
}

void distkvm_atomic_end(CPUState *cpu)
{
    if (!distkvm || !node_is_formed()) {
        return;
    }
    hint_size = 0;
    if (pinned) {
        pinned = false;
        engine_pin(distkvm->engine, false);
    }
    WITH_QEMU_LOCK_GUARD(&token.lock) {
        token.granted = false;
        token.busy = false;
        qemu_cond_broadcast(&token.cond);
    }
    tell_ledger(WIRE_TOKEN_RELEASE);
}
