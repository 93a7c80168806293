/*
 * distkvm: one guest time on all nodes
 *
 * Between corrections guest time is linear in host time.  A correction only
 * ever bends the line or moves it up: a clock that is ahead is slowed, never
 * set back.  Spec: docs/architecture.rst, "Time".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/lockable.h"
#include "qemu/seqlock.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "clock.h"
#include "accel/distkvm/trace.h"

#define PPB NANOSECONDS_PER_SECOND
/* No two working crystals differ by more (the test hook asks for 200). */
#define RATE_LIMIT_PPB 1000000
/* How hard an offset is steered out, within one interval. */
#define STEER_LIMIT_PPB 500000
/* Two sound clocks drift apart by less, so a sum of leaps grows by less. */
#define LEAP_PER_MILLE 2
/* Until it is told better. */
#define LEAP_NS (5 * NANOSECONDS_PER_SECOND)
/* A rate is measured over at least this. */
#define RATE_WINDOW_NS (2 * NANOSECONDS_PER_SECOND)

static struct {
    QemuSeqLock seq;
    QemuMutex lock;             /* writers */
    int skew_ppm;

    /* guest = guest_base + (host - host_base) * (1 + rate_ppb / 1e9) */
    int64_t guest_base;
    int64_t host_base;
    int64_t rate_ppb;
    bool running;

    /* Leaps that frames may still cause; under lock. */
    int64_t leap_max, leap_left, leap_host;
    int64_t suspended;          /* of the host since its boot; under lock */

    /* Follower's view of node 0; under lock. */
    int64_t window_host, window_reference;
    int64_t crystal_ppb;        /* measured rate of node 0 against ours */
    int64_t best_rtt;
    int64_t offset_ns;
} cc;

int64_t host_boottime_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
}

/* CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED of the kernel's ABI. */
#define THREAD_CPU_CLOCK 6

int64_t host_thread_ns(uint32_t tid)
{
    clockid_t id = ~(clockid_t)tid * 8 | THREAD_CPU_CLOCK;
    struct timespec ts;

    if (clock_gettime(id, &ts)) {
        return 0;
    }
    return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
}

void cluster_clock_limit(int64_t leap_ns)
{
    QEMU_LOCK_GUARD(&cc.lock);
    cc.leap_max = cc.leap_left = leap_ns;
}

void cluster_clock_init(int skew_ppm)
{
    seqlock_init(&cc.seq);
    qemu_mutex_init(&cc.lock);
    cc.leap_max = cc.leap_left = LEAP_NS;
    cc.skew_ppm = skew_ppm;
}

int64_t cluster_clock_host_ns(void)
{
    int64_t ns = get_clock();

    return ns + (int64_t)((__int128)ns * cc.skew_ppm / 1000000);
}

static int64_t guest_at(int64_t host)
{
    int64_t d = host - cc.host_base;

    /* Split, so that years of uptime do not overflow. */
    return cc.guest_base + d + d / PPB * cc.rate_ppb +
           d % PPB * cc.rate_ppb / PPB;
}

int64_t cluster_clock_ns(void)
{
    unsigned start;
    int64_t ns;

    do {
        start = seqlock_read_begin(&cc.seq);
        ns = cc.running ? guest_at(cluster_clock_host_ns()) : cc.guest_base;
    } while (seqlock_read_retry(&cc.seq, start));
    return ns;
}

/* Continue from @guest at @host; lock held. */
static void rebase_locked(int64_t host, int64_t guest, int64_t rate_ppb)
{
    seqlock_write_begin(&cc.seq);
    cc.host_base = host;
    cc.guest_base = guest;
    cc.rate_ppb = rate_ppb;
    seqlock_write_end(&cc.seq);
}

/*
 * The budget of leaps grows until @host.  While the guest stands here, it may
 * run elsewhere already, and all of that time is yet to come; as is the time
 * that this host was suspended, when its clock stood.
 */
static void refill_locked(int64_t host)
{
    int64_t passed = host - cc.leap_host;
    int64_t suspended = host_boottime_ns() - get_clock();

    if (suspended - cc.suspended > SCALE_MS) {
        cc.leap_left += suspended - cc.suspended;
        cc.suspended = suspended;
    }
    cc.leap_host = host;
    cc.leap_left += cc.running ? passed / 1000 * LEAP_PER_MILLE : passed;
    cc.leap_left = MIN(cc.leap_left, cc.leap_max);
}

bool cluster_clock_may_be(int64_t ns)
{
    int64_t ahead = ns - cluster_clock_ns();

    if (ns < 0 || ahead <= 0) {
        return ns >= 0;
    }
    QEMU_LOCK_GUARD(&cc.lock);
    refill_locked(cluster_clock_host_ns());
    return ahead <= cc.leap_left + cc.leap_max;
}

/* Guest time becomes @ns, by @bounded as far as a peer may move it. */
static void move_ahead(int64_t ns, bool bounded)
{
    QEMU_LOCK_GUARD(&cc.lock);
    int64_t host = cluster_clock_host_ns();
    int64_t now = cc.running ? guest_at(host) : cc.guest_base;
    int64_t leap = ns - now;

    if (bounded && leap > 0) {
        refill_locked(host);
        leap = MIN(leap, cc.leap_left);
        cc.leap_left -= MAX(leap, 0);
    }
    if (leap > 0) {
        rebase_locked(host, now + leap, cc.rate_ppb);
    }
}

void cluster_clock_observe(int64_t ns)
{
    if (ns > cluster_clock_ns()) {
        move_ahead(ns, true);
    }
}

void cluster_clock_advance(int64_t ns)
{
    if (ns > cluster_clock_ns()) {
        move_ahead(ns, false);
    }
}

int64_t cluster_clock_freeze(void)
{
    QEMU_LOCK_GUARD(&cc.lock);

    if (cc.running) {
        int64_t host = cluster_clock_host_ns();
        int64_t guest = guest_at(host);

        refill_locked(host);

        seqlock_write_begin(&cc.seq);
        cc.running = false;
        cc.guest_base = guest;
        seqlock_write_end(&cc.seq);
    }
    return cc.guest_base;
}

void cluster_clock_start(int64_t ns)
{
    QEMU_LOCK_GUARD(&cc.lock);

    if (!cc.running) {
        refill_locked(cluster_clock_host_ns());
        seqlock_write_begin(&cc.seq);
        cc.host_base = cluster_clock_host_ns();
        cc.guest_base = MAX(cc.guest_base, ns);
        cc.running = true;
        seqlock_write_end(&cc.seq);
        cc.window_host = 0;
    }
}

static int64_t clamp(int64_t value, int64_t limit)
{
    return MIN(MAX(value, -limit), limit);
}

/* The rate of node 0's crystal against ours, over a window; lock held. */
static void measure_rate_locked(int64_t host, int64_t reference)
{
    int64_t span = host - cc.window_host;

    if (!cc.window_host) {
        cc.window_host = host;
        cc.window_reference = reference;
    } else if (span >= RATE_WINDOW_NS) {
        int64_t gain = reference - cc.window_reference - span;

        cc.crystal_ppb = clamp((__int128)gain * PPB / span, RATE_LIMIT_PPB);
        cc.window_host = host;
        cc.window_reference = reference;
    }
}

void cluster_clock_sample(int64_t sent, int64_t reference, int64_t received)
{
    int64_t rtt = received - sent;
    int64_t now, steer;

    QEMU_LOCK_GUARD(&cc.lock);
    if (!cc.running || rtt < 0) {
        return;
    }
    /* A late answer says little; let the bar rise slowly if all are late. */
    if (cc.best_rtt && rtt > 2 * cc.best_rtt) {
        cc.best_rtt += cc.best_rtt / 8 + 1;
        return;
    }
    cc.best_rtt = cc.best_rtt ? MIN(cc.best_rtt + cc.best_rtt / 64, rtt) : rtt;

    reference += rtt / 2;
    cc.offset_ns = reference - guest_at(received);
    measure_rate_locked(received, reference);
    steer = clamp(cc.offset_ns, STEER_LIMIT_PPB);
    /* From now on, not from then: readers have been past it already. */
    now = cluster_clock_host_ns();
    rebase_locked(now, guest_at(now), cc.crystal_ppb + steer);
    trace_distkvm_clock_sample(rtt, cc.offset_ns, cc.crystal_ppb);
}

void cluster_clock_quality(int64_t *rate_ppb, int64_t *offset_ns)
{
    QEMU_LOCK_GUARD(&cc.lock);
    *rate_ppb = cc.rate_ppb;
    *offset_ns = cc.offset_ns;
}
