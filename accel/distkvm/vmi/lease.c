/*
 * distkvm: the right to execute guest code
 *
 * The gate is the code buffer's permission to be executed, under TCG, and a
 * question before each KVM_RUN.  Every vCPU thread
 * has a timer of its own that fires when the lease ends: the kernel delivers
 * its signal before the thread executes anything else, also after a stop.  The
 * handler closes the gate and returns; a thread with locks held runs on until
 * it enters guest code, where it holds none and can wait.  Only the member
 * thread opens the gate.  Time that a host spends suspended counts.
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "system/distkvm.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include <linux/kvm.h>
#include "tcg/tcg.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "lease.h"

/* Share of dead-after-ms left for clocks that differ, and for wake-ups. */
#define MARGIN_PERCENT 25
#define WAIT_NS (200 * SCALE_US)
/* Later than any test of a timer. */
#define FAR_NS (INT64_MAX / 2)

static struct {
    bool locked;                /* spin lock, by signal handlers too */
    bool open, revoked;         /* atomic; written under the lock */
    bool ended;                 /* under the lock */
    int64_t end_ns;             /* atomic; written under the lock */
    int64_t granted_ns[COH_NODES_MAX];  /* member thread */
    unsigned timers;
    timer_t *timer;             /* one for each vCPU thread */
} lease = { .open = true, .end_ns = INT64_MAX };

static int lease_signal(void)
{
    return SIGRTMIN + 6;
}

/* The handler must not find its own thread inside. */
static void gate_lock(sigset_t *old)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, lease_signal());
    pthread_sigmask(SIG_BLOCK, &ours, old);
    while (qatomic_xchg(&lease.locked, true)) {
        sched_yield();
    }
}

static void gate_unlock(const sigset_t *old)
{
    qatomic_store_release(&lease.locked, false);
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* Lock held. */
static void gate_set(bool open)
{
    if (lease.open != open) {
        if (tcg_enabled()) {
            tcg_region_set_exec(open);
        }
        qatomic_set(&lease.open, open);
    }
}

static bool is_expired(void)
{
    return host_boottime_ns() >= qatomic_read(&lease.end_ns);
}

static void on_expiry(int sig)
{
    int saved = errno;
    sigset_t old;

    gate_lock(&old);
    /* It may have been renewed since the timer fired. */
    if (is_expired() || lease.revoked) {
        gate_set(false);
        if (kvm_enabled() && current_cpu) {
            /* It may be between the gate and KVM_RUN. */
            current_cpu->kvm_run->immediate_exit = 1;
        }
    }
    gate_unlock(&old);
    errno = saved;
}

/* False: never again. */
static bool gate_wait(void)
{
    const struct timespec wait = { .tv_nsec = WAIT_NS };

    while (!qatomic_read(&lease.open) && !qatomic_read(&lease.revoked)) {
        nanosleep(&wait, NULL);
    }
    return !qatomic_read(&lease.revoked);
}

bool distkvm_held_back(void)
{
    return distkvm && !gate_wait();
}

bool lease_fault(uintptr_t pc, bool *leave)
{
    if (!tcg_enabled() ||
        !in_code_gen_buffer((const void *)(pc - tcg_splitwx_diff))) {
        return false;
    }
    *leave = !gate_wait();
    return true;
}

/* ------------------------------------------------------------- renewal */

static int64_t lease_length(void)
{
    return distkvm->dead_after_ms * SCALE_MS / 100 * (100 - MARGIN_PERCENT);
}

static void arm(timer_t timer, int64_t end_ns)
{
    struct itimerspec when = {
        .it_value.tv_sec = end_ns / NANOSECONDS_PER_SECOND,
        .it_value.tv_nsec = end_ns % NANOSECONDS_PER_SECOND,
    };

    timer_settime(timer, TIMER_ABSTIME, &when, NULL);
}

/* INT64_MAX: for good. */
static void renew(int64_t end_ns)
{
    sigset_t old;

    gate_lock(&old);
    lease.ended |= end_ns == INT64_MAX;
    qatomic_set(&lease.end_ns, lease.ended ? INT64_MAX : end_ns);
    if (!lease.revoked && !is_expired()) {
        gate_set(true);
    }
    gate_unlock(&old);
    for (unsigned i = 0; i < qatomic_load_acquire(&lease.timers); i++) {
        arm(lease.timer[i], MIN(end_ns, FAR_NS));
    }
}

void lease_granted(CohNodeId peer, int64_t age_ns)
{
    CohNodeSet members = distkvm_members();
    int64_t end = INT64_MAX;
    CohNodeId n;

    lease.granted_ns[peer] = host_boottime_ns() - MAX(age_ns, 0);
    COH_SET_FOREACH(n, &members) {
        if (n == distkvm->id) {
            continue;
        }
        if (!lease.granted_ns[n]) {
            return;
        }
        end = MIN(end, lease.granted_ns[n] + lease_length());
    }
    if (end != INT64_MAX) {
        renew(end);
    }
}

void lease_end(void)
{
    renew(INT64_MAX);
}

/* No guest code, ever again. */
static void lease_revoke(void *unused)
{
    sigset_t old;

    gate_lock(&old);
    qatomic_set(&lease.revoked, true);
    gate_set(false);
    gate_unlock(&old);
    /* A thread that executes guest code leaves it now. */
    for (unsigned i = 0; i < qatomic_load_acquire(&lease.timers); i++) {
        arm(lease.timer[i], 1);
    }
}

/* --------------------------------------------------------------- start */

static void enroll(CPUState *cpu, run_on_cpu_data unused)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID,
        .sigev_signo = lease_signal(),
        ._sigev_un._tid = qemu_get_thread_id(),
    };
    sigset_t ours;
    timer_t timer;

    if (timer_create(CLOCK_BOOTTIME, &event, &timer) < 0) {
        g_autofree char *why = g_strdup_printf(
            "a timer for vCPU %d cannot be had: %s (raise the limit of pending"
            " signals, ulimit -i)", cpu->cpu_index, strerror(errno));

        failure_raise(why);
        return;
    }
    sigemptyset(&ours);
    sigaddset(&ours, lease_signal());
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    /* vCPUs enroll one after the other: under the BQL. */
    lease.timer[lease.timers] = timer;
    arm(timer, MIN(qatomic_read(&lease.end_ns), FAR_NS));
    qatomic_store_release(&lease.timers, lease.timers + 1);
}

void lease_init(void)
{
    failure_register(FAILURE_STOP_VCPUS, lease_revoke, NULL);
}

void lease_start(void)
{
    struct sigaction action = {
        .sa_handler = on_expiry,
        .sa_flags = SA_RESTART,
    };
    CPUState *cpu;

    if (!tcg_enabled() && !kvm_enabled()) {
        return;
    }
    /* From the last pings, until they are answered: all have just joined. */
    renew(member_last_tick_ms() * SCALE_MS + lease_length());
    lease.timer = g_new0(timer_t, distkvm->cpus.cpus);
    sigaction(lease_signal(), &action, NULL);
    CPU_FOREACH(cpu) {
        if (distkvm_cpu_is_local(cpu)) {
            async_run_on_cpu(cpu, enroll, RUN_ON_CPU_NULL);
        }
    }
}
