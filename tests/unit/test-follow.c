/*
 * The engine follows one CPU that faults, and no more than one; who faults alone
 * is kept there
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "accel/distkvm/engine/affinity.h"

static int faults(Follow *f, int cpu, int n)
{
    int where = f->cpu;

    while (n--) {
        where = f->cpu = follow_decide(f, cpu);
    }
    return where;
}

static void test_one_cpu(void)
{
    Follow f;

    follow_init(&f, false);
    g_assert_cmpint(faults(&f, 3, FOLLOW_FAULTS - 1), ==, -1);
    g_assert_cmpint(faults(&f, 3, 1), ==, 3);
    g_assert_cmpint(faults(&f, 3, 100), ==, 3);
}

static void test_several_cpus(void)
{
    Follow f;

    follow_init(&f, false);
    for (int n = 0; n < 1000; n++) {
        g_assert_cmpint(faults(&f, n % 2, 1), ==, -1);
    }
}

/* The vCPU has moved: the engine comes along, but is in less of a hurry. */
static void test_moved(void)
{
    Follow f;

    follow_init(&f, false);
    g_assert_cmpint(faults(&f, 0, FOLLOW_FAULTS), ==, 0);
    g_assert_cmpint(faults(&f, 1, 1), ==, -1);
    g_assert_cmpint(faults(&f, 1, 2 * FOLLOW_FAULTS - 2), ==, -1);
    g_assert_cmpint(faults(&f, 1, 1), ==, 1);
    for (int n = 0; n < 100; n++) {
        faults(&f, n % 2, FOLLOW_FAULTS_MAX);
    }
    g_assert_cmpint(f.needed, ==, FOLLOW_FAULTS_MAX);
}

/* For real: this thread faults, and this thread is the engine too. */
static void test_affinity(void)
{
    cpu_set_t before, now;
    Follow f;

    g_assert_cmpint(sched_getaffinity(0, sizeof(before), &before), ==, 0);
    if (CPU_COUNT(&before) == 1) {
        g_test_skip("needs two CPUs");
        return;
    }
    follow_init(&f, true);
    for (int n = 0; n < 2 * FOLLOW_FAULTS; n++) {
        follow_fault(&f, syscall(SYS_gettid), true, 1 + n);
    }
    g_assert_cmpint(sched_getaffinity(0, sizeof(now), &now), ==, 0);
    g_assert_cmpint(CPU_COUNT(&now), ==, 1);
    g_assert_true(CPU_ISSET(f.cpu, &now));
    follow_free(&f);
    sched_setaffinity(0, sizeof(before), &before);
}

/* ------------------------------------------------------- a thread is kept */

/* A thread that waits, or spins, until told to end; and two CPUs for it. */
typedef struct Other {
    cpu_set_t mine;         /* where this process might run                 */
    int cpu[2];
    GThread *thread;
    gint tid;
    gint spins, end;
} Other;

static void *other_thread(void *opaque)
{
    Other *o = opaque;

    g_atomic_int_set(&o->tid, syscall(SYS_gettid));
    while (!g_atomic_int_get(&o->end)) {
        if (!o->spins) {
            g_usleep(1000);
        }
    }
    return NULL;
}

/* Does the kernel say how long thread @tid ran and waited?  Else it is not kept. */
static bool counts(int tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/schedstat",
                                            tid);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && text[0] != '0';
}

static bool other_start(Other *o, bool spins)
{
    int n = 0;

    if (!counts(syscall(SYS_gettid))) {
        g_test_skip("needs /proc/self/schedstat");
        return false;
    }

    *o = (Other) { .spins = spins };
    g_assert_cmpint(sched_getaffinity(0, sizeof(o->mine), &o->mine), ==, 0);
    if (CPU_COUNT(&o->mine) == 1) {
        g_test_skip("needs two CPUs");
        return false;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
        if (CPU_ISSET(cpu, &o->mine)) {
            o->cpu[n++] = cpu;
        }
    }
    o->thread = g_thread_new("other", other_thread, o);
    /* It counts when threads change, or at its ticks. */
    while (!g_atomic_int_get(&o->tid) || !counts(o->tid)) {
        g_usleep(1000);
    }
    return true;
}

static void other_end(Other *o)
{
    g_atomic_int_set(&o->end, true);
    g_thread_join(o->thread);
    sched_setaffinity(0, sizeof(o->mine), &o->mine);
}

static void set_one(int tid, int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    g_assert_cmpint(sched_setaffinity(tid, sizeof(one), &one), ==, 0);
}

/* The one CPU it may use, or -1: all it was given. */
static int only_cpu(const Other *o)
{
    cpu_set_t now;

    g_assert_cmpint(sched_getaffinity(o->tid, sizeof(now), &now), ==, 0);
    if (CPU_COUNT(&now) > 1) {
        g_assert_true(CPU_EQUAL(&now, &o->mine));
        return -1;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &now)) {
            return cpu;
        }
    }
    return -1;
}

static void test_keep(void)
{
    Keep keep;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    keep_init(&keep);
    for (int n = 0; n < 2; n++) {
        g_assert_true(keep_near(&keep, o.tid, o.cpu[n], 1 + n));
        g_assert_cmpint(only_cpu(&o), ==, o.cpu[n]);
    }
    keep_end(&keep);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    /* Somebody else says where it runs, while it is kept, and before. */
    g_assert_true(keep_near(&keep, o.tid, o.cpu[0], 3));
    set_one(o.tid, o.cpu[1]);
    keep_end(&keep);
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    g_assert_false(keep_near(&keep, o.tid, o.cpu[1], 4));
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    /* It is not tried again at once. */
    g_assert_cmpint(sched_setaffinity(o.tid, sizeof(o.mine), &o.mine), ==, 0);
    g_assert_false(keep_near(&keep, o.tid, o.cpu[1], 5));
    g_assert_true(keep_near(&keep, o.tid, o.cpu[1], 5 + KEEP_REST_NS));
    keep_end(&keep);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    keep_free(&keep);
    other_end(&o);
}

/* Who had all that its cpuset has gets what the cpuset may gain, too. */
static void test_keep_whole(void)
{
    Keep keep;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    keep_init(&keep);
    keep.usual = o.mine;
    CPU_ZERO(&keep.whole);
    CPU_SET(o.cpu[1], &keep.whole);
    g_assert_true(keep_near(&keep, o.tid, o.cpu[0], 1));
    keep_end(&keep);
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    keep_free(&keep);
    other_end(&o);
}

/* Two lanes' engines, in every order: in the end it may run anywhere. */
static void test_keep_lanes(void)
{
    Keep keep[2];
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    for (int order = 0; order < 4; order++) {
        for (int n = 0; n < 2; n++) {
            keep_init(&keep[n]);
            g_assert_cmpint(keep_near(&keep[n], o.tid, o.cpu[order / 2 ^ n], 1),
                            ==, !n);
        }
        keep_free(&keep[order % 2]);
        keep_free(&keep[!(order % 2)]);
        g_assert_cmpint(only_cpu(&o), ==, -1);
    }
    other_end(&o);
}

static void test_crowded(void)
{
    KeepTimes before = { 1000, 500 }, now = { 1200, 600 };

    g_assert_false(keep_crowded(&before, &now));
    now.delayed_ns++;
    g_assert_true(keep_crowded(&before, &now));
}

/* For real: this thread and another one spin on one CPU. */
static void test_rests(void)
{
    int64_t now = 1, until;
    Keep keep;
    Other o;

    if (!other_start(&o, true)) {
        return;
    }
    keep_init(&keep);
    set_one(0, o.cpu[0]);
    g_assert_true(keep_near(&keep, o.tid, o.cpu[0], now));
    until = g_get_monotonic_time() + 100 * G_TIME_SPAN_MILLISECOND;
    while (g_get_monotonic_time() < until) {
        /* As the other one does. */
    }
    now += KEEP_LOOK_NS;
    g_assert_false(keep_near(&keep, o.tid, o.cpu[0], now));
    keep_end(&keep);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    until = keep.rest_until_ns;
    g_assert_cmpint(until, >=, now + KEEP_REST_NS);
    g_assert_false(keep_near(&keep, o.tid, o.cpu[0], until - 1));
    g_assert_true(keep_near(&keep, o.tid, o.cpu[0], until));
    keep_free(&keep);
    other_end(&o);
}

/* All of it: who faults alone is kept, not who takes turns with another. */
static void test_alone(void)
{
    Follow f;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    follow_init(&f, true);
    for (int n = 0; n < FOLLOW_FAULTS; n++) {
        g_assert_cmpint(only_cpu(&o), ==, -1);
        follow_fault(&f, o.tid, true, 1 + n);
    }
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    follow_rest(&f);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    follow_fault(&f, o.tid, false, 99);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    follow_fault(&f, o.tid, true, 100);
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    follow_fault(&f, syscall(SYS_gettid), true, 101);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    for (int n = 0; n < 100; n++) {
        follow_fault(&f, n % 2 ? o.tid : syscall(SYS_gettid), true, 102 + n);
        g_assert_cmpint(only_cpu(&o), ==, -1);
    }
    /* An engine that never sleeps keeps nobody for long. */
    for (int n = 0; n < FOLLOW_FAULTS; n++) {
        follow_fault(&f, o.tid, true, 300);
    }
    follow_pass(&f, 300 + KEEP_NS);
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    follow_pass(&f, 301 + KEEP_NS);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    follow_free(&f);
    other_end(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/follow/one-cpu", test_one_cpu);
    g_test_add_func("/follow/several-cpus", test_several_cpus);
    g_test_add_func("/follow/moved", test_moved);
    g_test_add_func("/follow/affinity", test_affinity);
    g_test_add_func("/follow/alone", test_alone);
    g_test_add_func("/keep/near", test_keep);
    g_test_add_func("/keep/whole", test_keep_whole);
    g_test_add_func("/keep/lanes", test_keep_lanes);
    g_test_add_func("/keep/crowded", test_crowded);
    g_test_add_func("/keep/rests", test_rests);
    return g_test_run();
}
