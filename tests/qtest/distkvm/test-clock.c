/*
 * distkvm: tests of how far a peer's clock may be ahead
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "clock.h"

#define SECOND NANOSECONDS_PER_SECOND
/* The clock goes on while a test looks at it; less than this, surely. */
#define SPARE (SECOND / 2)

static void begin(int64_t leap_ns)
{
    cluster_clock_freeze();
    cluster_clock_limit(leap_ns);
    cluster_clock_start(0);
}

/* A clock that was stopped for a while is right; one from the future is not. */
static void test_one_leap(void)
{
    int64_t now;

    begin(5 * SECOND);
    now = cluster_clock_ns();
    g_assert_true(cluster_clock_may_be(0));
    g_assert_true(cluster_clock_may_be(now + 4 * SECOND));
    g_assert_false(cluster_clock_may_be(now + 5 * SECOND + SPARE));
    g_assert_false(cluster_clock_may_be(-1));
    g_assert_false(cluster_clock_may_be(INT64_MAX));
}

/* Many small leaps are no better than a large one. */
static void test_sum_of_leaps(void)
{
    begin(5 * SECOND);
    for (int i = 0; i < 9; i++) {
        int64_t next = cluster_clock_ns() + SECOND / 2;

        g_assert_true(cluster_clock_may_be(next));
        cluster_clock_observe(next);
    }
    g_assert_false(cluster_clock_may_be(cluster_clock_ns() + SECOND + SPARE));
}

/* What one saw is never taken back. */
static void test_observed(void)
{
    int64_t ahead;

    begin(5 * SECOND);
    ahead = cluster_clock_ns() + 2 * SECOND;
    cluster_clock_observe(ahead);
    g_assert_cmpint(cluster_clock_ns(), >=, ahead);
}

/* The guest may run elsewhere before it is started here. */
static void test_standing(void)
{
    int64_t now;

    begin(SECOND / 10);
    cluster_clock_observe(cluster_clock_ns() + SECOND / 10);
    now = cluster_clock_freeze();
    g_usleep(120 * 1000);
    g_assert_true(cluster_clock_may_be(now + SECOND / 20));
}

/* Leaps come back, slowly, while the guest runs. */
static void test_running(void)
{
    begin(SECOND);
    cluster_clock_observe(cluster_clock_ns() + SECOND);
    g_usleep(200 * 1000);
    g_assert_false(cluster_clock_may_be(cluster_clock_ns() + SECOND / 10));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/one-leap", test_one_leap);
    g_test_add_func("/clock/sum-of-leaps", test_sum_of_leaps);
    g_test_add_func("/clock/observed", test_observed);
    g_test_add_func("/clock/standing", test_standing);
    g_test_add_func("/clock/running", test_running);
    return g_test_run();
}
