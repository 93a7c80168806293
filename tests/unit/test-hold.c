/*
 * How long a page stays
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/hold.h"

static Hold hold;

static void test_last_install(void)
{
    hold_init(&hold, 100, HOLD_FETCHES);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1100);
    /* The same instruction needs another page: both stay. */
    hold_installed(&hold, 2, 7, 1080);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1180);
    g_assert_cmpint(hold_until(&hold, 2), ==, 1180);
    /* Another thread's fetches do not matter. */
    hold_installed(&hold, 3, 8, 1150);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1180);
}

static void test_bound(void)
{
    hold_init(&hold, 100, HOLD_FETCHES);
    hold_installed(&hold, 1, 7, 1000);
    for (int64_t now = 1000; now < 5000; now += 50) {
        hold_installed(&hold, 2, 7, now);
    }
    g_assert_cmpint(hold_until(&hold, 1), ==, 1000 + HOLD_WINDOWS_MAX * 100);
}

static void test_unknown(void)
{
    hold_init(&hold, 100, HOLD_FETCHES);
    g_assert_cmpint(hold_until(&hold, 0), ==, 0);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1 + HOLD_PAGES), ==, 0);
}

static void test_adapts(void)
{
    hold_init(&hold, 100, HOLD_FETCHES);
    hold_fetched(&hold, 10);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1100);
    /* A slow network: the window outlasts a fetch. */
    hold_init(&hold, 100, HOLD_FETCHES);
    hold_fetched(&hold, 1000);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1000 + HOLD_FETCHES * 1000);
    /* Fetches that met somebody's window do not widen it much. */
    for (int i = 0; i < 10; i++) {
        hold_fetched(&hold, 100000);
    }
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1), <, 1000 + HOLD_FETCHES * 1200);
    /* No holding was asked for. */
    hold_init(&hold, 0, HOLD_FETCHES);
    hold_fetched(&hold, 1000);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_until(&hold, 1), ==, 1000);
}

static void test_idle(void)
{
    hold_init(&hold, 100, HOLD_FETCHES);
    hold_fetched(&hold, 1000);
    hold_installed(&hold, 1, 7, 1000);
    g_assert_cmpint(hold_thread(&hold, 1), ==, 7);
    g_assert_cmpint(hold_until_idle(&hold, 1), ==, 1100);
    /* Other pages that its thread fetched count no more. */
    hold_installed(&hold, 2, 7, 5000);
    g_assert_cmpint(hold_until_idle(&hold, 1), ==, 1100);
    g_assert_cmpint(hold_until_idle(&hold, 1 + HOLD_PAGES), ==, 0);
    g_assert_cmpint(hold_thread(&hold, 1 + HOLD_PAGES), ==, 0);
}

/* One node at a time keeps what its waiting thread has; all get their turn. */
static void test_turns(void)
{
    unsigned had[3] = { 0 };

    for (int64_t now = 0; now < 6 * HOLD_TURN_NS; now += HOLD_TURN_NS / 2) {
        unsigned nodes = 0;

        for (unsigned n = 0; n < 3; n++) {
            bool turn = hold_has_turn(now, 3, n);

            nodes += turn;
            had[n] += turn;
            /* For as long as it is said to last. */
            g_assert(hold_has_turn(now + hold_turn_left_ns(now) - 1, 3, n) ==
                     turn);
            g_assert(!turn ||
                     !hold_has_turn(now + hold_turn_left_ns(now), 3, n));
        }
        g_assert_cmpint(nodes, ==, 1);
    }
    for (unsigned n = 0; n < 3; n++) {
        g_assert_cmpint(had[n], ==, 4);
    }

    hold_init(&hold, 100, HOLD_FETCHES_WALKS);
    hold_installed(&hold, 1, 7, 1000);
    hold_installed(&hold, 2, 7, 1080);
    g_assert_cmpint(hold_until_waiting(&hold, 1, true), ==,
                    1000 + HOLD_WINDOWS_MAX * 100);
    /* Less than if its thread went on: 1180. */
    g_assert_cmpint(hold_until_waiting(&hold, 1, false), ==, 1100);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hold/last-install", test_last_install);
    g_test_add_func("/hold/bound", test_bound);
    g_test_add_func("/hold/adapts", test_adapts);
    g_test_add_func("/hold/idle", test_idle);
    g_test_add_func("/hold/turns", test_turns);
    g_test_add_func("/hold/unknown", test_unknown);
    return g_test_run();
}
