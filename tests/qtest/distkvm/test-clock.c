/*
 * distkvm: tests of how far a peer's clock may be ahead
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"

#define SECOND NANOSECONDS_PER_SECOND
/* The clock goes on while a test looks at it; less than this, surely. */
#define SPARE (SECOND / 2)

static void begin(int64_t leap_ns)
{
    cluster_clock_freeze();
    cluster_clock_limit(leap_ns);
    cluster_clock_start(0);
}

/*
 * A clock that was stopped for a while is right, also if it was moved ahead by
 * another peer; one from the future is not.
 */
static void test_one_leap(void)
{
    int64_t now;

    begin(5 * SECOND);
    now = cluster_clock_ns();
    g_assert_true(cluster_clock_may_be(0));
    g_assert_true(cluster_clock_may_be(now + 9 * SECOND));
    g_assert_false(cluster_clock_may_be(now + 10 * SECOND + SPARE));
    g_assert_false(cluster_clock_may_be(-1));
    g_assert_false(cluster_clock_may_be(INT64_MAX));
}

/* Many leaps are no better than a large one, whatever they add up to. */
static void test_sum_of_leaps(void)
{
    int64_t before;

    begin(5 * SECOND);
    before = cluster_clock_ns();
    for (int i = 0; i < 30; i++) {
        cluster_clock_observe(cluster_clock_ns() + SECOND);
    }
    g_assert_cmpint(cluster_clock_ns() - before, >=, 5 * SECOND);
    g_assert_cmpint(cluster_clock_ns() - before, <, 5 * SECOND + SPARE);
    g_assert_false(cluster_clock_may_be(cluster_clock_ns() + 5 * SECOND +
                                        SPARE));
}

/* This host's own processors know best. */
static void test_own(void)
{
    int64_t before;

    begin(5 * SECOND);
    before = cluster_clock_ns();
    cluster_clock_advance(before + 100 * SECOND);
    g_assert_cmpint(cluster_clock_ns() - before, >=, 100 * SECOND);
}

/* A time that one node saw is never taken back. */
static void test_observed(void)
{
    int64_t ahead;

    begin(5 * SECOND);
    ahead = cluster_clock_ns() + 2 * SECOND;
    cluster_clock_observe(ahead);
    g_assert_cmpint(cluster_clock_ns(), >=, ahead);
}

/* Observe @ns and see how far that moved the clock. */
static int64_t moved_by(int64_t ns)
{
    int64_t before = cluster_clock_ns();

    cluster_clock_observe(before + ns);
    return cluster_clock_ns() - before;
}

/* The guest may run elsewhere before it is started here. */
static void test_standing(void)
{
    begin(SECOND / 10);
    moved_by(SECOND / 10);
    cluster_clock_freeze();
    g_usleep(120 * 1000);
    g_assert_cmpint(moved_by(SECOND / 20), >=, SECOND / 20);
}

/* Leaps come back, slowly, while the guest runs. */
static void test_running(void)
{
    begin(SECOND);
    moved_by(SECOND);
    g_usleep(200 * 1000);
    g_assert_cmpint(moved_by(SECOND / 2), <, SECOND / 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cluster_clock_init(0);
    g_test_add_func("/clock/one-leap", test_one_leap);
    g_test_add_func("/clock/sum-of-leaps", test_sum_of_leaps);
    g_test_add_func("/clock/own", test_own);
    g_test_add_func("/clock/observed", test_observed);
    g_test_add_func("/clock/standing", test_standing);
    g_test_add_func("/clock/running", test_running);
    return g_test_run();
}
