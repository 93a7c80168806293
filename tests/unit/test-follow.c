/*
 * The engine follows one CPU that faults, and no more than one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "follow.h"

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
        follow_fault(&f, syscall(SYS_gettid), 1 + n);
    }
    g_assert_cmpint(sched_getaffinity(0, sizeof(now), &now), ==, 0);
    g_assert_cmpint(CPU_COUNT(&now), ==, 1);
    g_assert_true(CPU_ISSET(f.cpu, &now));
    follow_free(&f);
    sched_setaffinity(0, sizeof(before), &before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/follow/one-cpu", test_one_cpu);
    g_test_add_func("/follow/several-cpus", test_several_cpus);
    g_test_add_func("/follow/moved", test_moved);
    g_test_add_func("/follow/affinity", test_affinity);
    return g_test_run();
}
