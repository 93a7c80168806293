/*
 * A lane's thread goes to the CPU that faults, if it is one; a thread that
 * faults alone is bound to it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "accel/distkvm/engine/affinity.h"

static int faults(Affinity *f, int cpu, int n)
{
    int where = f->cpu;

    while (n--) {
        where = f->cpu = affinity_decide(f, cpu);
    }
    return where;
}

static void test_one_cpu(void)
{
    Affinity f;

    affinity_start(&f, false);
    g_assert_cmpint(faults(&f, 3, AFFINITY_FAULTS - 1), ==, -1);
    g_assert_cmpint(faults(&f, 3, 1), ==, 3);
    g_assert_cmpint(faults(&f, 3, 100), ==, 3);
}

static void test_several_cpus(void)
{
    Affinity f;

    affinity_start(&f, false);
    for (int n = 0; n < 1000; n++) {
        g_assert_cmpint(faults(&f, n % 2, 1), ==, -1);
    }
}

/* The vCPU has moved: the engine comes along, but is in less of a hurry. */
static void test_moved(void)
{
    Affinity f;

    affinity_start(&f, false);
    g_assert_cmpint(faults(&f, 0, AFFINITY_FAULTS), ==, 0);
    g_assert_cmpint(faults(&f, 1, 1), ==, -1);
    g_assert_cmpint(faults(&f, 1, 2 * AFFINITY_FAULTS - 2), ==, -1);
    g_assert_cmpint(faults(&f, 1, 1), ==, 1);
    for (int n = 0; n < 100; n++) {
        faults(&f, n % 2, AFFINITY_FAULTS_MAX);
    }
    g_assert_cmpint(f.n_needed, ==, AFFINITY_FAULTS_MAX);
}

/* For real: this thread faults, and this thread is the engine too. */
static void test_affinity(void)
{
    cpu_set_t before, now;
    Affinity f;

    g_assert_cmpint(sched_getaffinity(0, sizeof(before), &before), ==, 0);
    if (CPU_COUNT(&before) == 1) {
        g_test_skip("needs two CPUs");
        return;
    }
    affinity_start(&f, true);
    for (int n = 0; n < 2 * AFFINITY_FAULTS; n++) {
        affinity_fault(&f, syscall(SYS_gettid), true, 1 + n);
    }
    g_assert_cmpint(sched_getaffinity(0, sizeof(now), &now), ==, 0);
    g_assert_cmpint(CPU_COUNT(&now), ==, 1);
    g_assert_true(CPU_ISSET(f.cpu, &now));
    affinity_part.free(&f);
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

/* Are the run times of thread @tid known?  Else it is not bound. */
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

static void test_bind(void)
{
    VcpuAffinity vcpu;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    vcpu_affinity_init(&vcpu);
    for (int n = 0; n < 2; n++) {
        g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[n], 1 + n));
        g_assert_cmpint(only_cpu(&o), ==, o.cpu[n]);
    }
    vcpu_affinity_release(&vcpu);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    /* Somebody else says where it runs, while it is kept, and before. */
    g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], 3));
    set_one(o.tid, o.cpu[1]);
    vcpu_affinity_release(&vcpu);
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    g_assert_false(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[1], 4));
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    /* It is not tried again at once. */
    g_assert_cmpint(sched_setaffinity(o.tid, sizeof(o.mine), &o.mine), ==, 0);
    g_assert_false(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[1], 5));
    g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[1],
                                     5 + VCPU_BACKOFF_NS));
    vcpu_affinity_release(&vcpu);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    vcpu_affinity_free(&vcpu);
    other_end(&o);
}

/* A thread that had its whole cpuset also gets CPUs that the cpuset gains. */
static void test_bind_whole(void)
{
    VcpuAffinity vcpu;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    vcpu_affinity_init(&vcpu);
    vcpu.usual = o.mine;
    CPU_ZERO(&vcpu.whole);
    CPU_SET(o.cpu[1], &vcpu.whole);
    g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], 1));
    vcpu_affinity_release(&vcpu);
    g_assert_cmpint(only_cpu(&o), ==, o.cpu[1]);
    vcpu_affinity_free(&vcpu);
    other_end(&o);
}

/* Two lanes' engines, in every order: in the end it may run anywhere. */
static void test_bind_lanes(void)
{
    VcpuAffinity vcpu[2];
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    for (int order = 0; order < 4; order++) {
        for (int n = 0; n < 2; n++) {
            vcpu_affinity_init(&vcpu[n]);
            g_assert_cmpint(vcpu_affinity_bind(&vcpu[n], o.tid,
                                               o.cpu[order / 2 ^ n], 1),
                            ==, !n);
        }
        vcpu_affinity_free(&vcpu[order % 2]);
        vcpu_affinity_free(&vcpu[!(order % 2)]);
        g_assert_cmpint(only_cpu(&o), ==, -1);
    }
    other_end(&o);
}

static void test_crowded(void)
{
    VcpuTimes before = { 1000, 500 }, now = { 1200, 600 };

    g_assert_false(vcpu_affinity_is_crowded(&before, &now));
    now.delayed_ns++;
    g_assert_true(vcpu_affinity_is_crowded(&before, &now));
}

/* For real: this thread and another one spin on one CPU. */
static void test_backs_off(void)
{
    int64_t now = 1, until;
    VcpuAffinity vcpu;
    Other o;

    if (!other_start(&o, true)) {
        return;
    }
    vcpu_affinity_init(&vcpu);
    set_one(0, o.cpu[0]);
    g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], now));
    until = g_get_monotonic_time() + 100 * G_TIME_SPAN_MILLISECOND;
    while (g_get_monotonic_time() < until) {
        /* As the other one does. */
    }
    now += VCPU_LOOK_NS;
    g_assert_false(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], now));
    vcpu_affinity_release(&vcpu);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    until = vcpu.backoff_until_ns;
    g_assert_cmpint(until, >=, now + VCPU_BACKOFF_NS);
    g_assert_false(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], until - 1));
    g_assert_true(vcpu_affinity_bind(&vcpu, o.tid, o.cpu[0], until));
    vcpu_affinity_free(&vcpu);
    other_end(&o);
}

/* All of it: a thread that faults alone is bound, not one of two in turns. */
static void test_alone(void)
{
    Affinity f;
    Other o;

    if (!other_start(&o, false)) {
        return;
    }
    affinity_start(&f, true);
    for (int n = 0; n < AFFINITY_FAULTS; n++) {
        g_assert_cmpint(only_cpu(&o), ==, -1);
        affinity_fault(&f, o.tid, true, 1 + n);
    }
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    affinity_idle(&f);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    affinity_fault(&f, o.tid, false, 99);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    affinity_fault(&f, o.tid, true, 100);
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    affinity_fault(&f, syscall(SYS_gettid), true, 101);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    for (int n = 0; n < 100; n++) {
        affinity_fault(&f, n % 2 ? o.tid : syscall(SYS_gettid), true, 102 + n);
        g_assert_cmpint(only_cpu(&o), ==, -1);
    }
    /* A lane that never sleeps binds no thread for long. */
    for (int n = 0; n < AFFINITY_FAULTS; n++) {
        affinity_fault(&f, o.tid, true, 300);
    }
    affinity_pass(&f, 300 + VCPU_BOUND_NS);
    g_assert_cmpint(only_cpu(&o), ==, f.cpu);
    affinity_pass(&f, 301 + VCPU_BOUND_NS);
    g_assert_cmpint(only_cpu(&o), ==, -1);
    affinity_part.free(&f);
    other_end(&o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/affinity/one-cpu", test_one_cpu);
    g_test_add_func("/affinity/several-cpus", test_several_cpus);
    g_test_add_func("/affinity/moved", test_moved);
    g_test_add_func("/affinity/moves", test_affinity);
    g_test_add_func("/affinity/alone", test_alone);
    g_test_add_func("/vcpu-affinity/bind", test_bind);
    g_test_add_func("/vcpu-affinity/whole", test_bind_whole);
    g_test_add_func("/vcpu-affinity/lanes", test_bind_lanes);
    g_test_add_func("/vcpu-affinity/crowded", test_crowded);
    g_test_add_func("/vcpu-affinity/backs-off", test_backs_off);
    return g_test_run();
}
