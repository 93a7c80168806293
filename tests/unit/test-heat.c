/*
 * The pages with most faults
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/heat.h"
#include "lane-fake.h"

static Heat heat, other;
static uint16_t faults[FAKE_PAGES];

static void setup(void)
{
    fake_init();
    memset(&heat, 0, sizeof(heat));
    memset(&other, 0, sizeof(other));
    memset(faults, 0, sizeof(faults));
    heat.faults = other.faults = faults;
    heat_part.init(&heat, &fake.ctx);
    heat_part.init(&other, &fake.ctx);
}

static void teardown(void)
{
    heat_part.free(&heat);
    heat_part.free(&other);
}

static void add(Heat *to, CohPage page, unsigned times)
{
    while (times--) {
        heat_add(to, page);
    }
}

static void test_order(void)
{
    EngineHotPage hot[3];

    setup();
    add(&heat, 5, 2);
    add(&heat, 6, 7);
    add(&heat, 7, 1);
    add(&heat, 5, 3);
    g_assert_cmpint(heat_merge(&heat, hot, 3, 0), ==, 3);
    g_assert_cmpint(hot[0].page, ==, 6);
    g_assert_cmpint(hot[0].faults, ==, 7);
    g_assert_cmpint(hot[1].page, ==, 5);
    g_assert_cmpint(hot[1].faults, ==, 5);
    g_assert_cmpint(hot[2].page, ==, 7);
    teardown();
}

/* Lanes are merged; no more than are asked for. */
static void test_lanes(void)
{
    EngineHotPage hot[3] = { { 0 } };
    unsigned n;

    setup();
    add(&heat, 1, 4);
    add(&heat, 2, 2);
    add(&other, 101, 3);
    add(&other, 102, 1);
    n = heat_merge(&heat, hot, 3, 0);
    g_assert_cmpint(n, ==, 2);
    g_assert_cmpint(heat_merge(&other, hot, 3, n), ==, 3);
    g_assert_cmpint(hot[0].page, ==, 1);
    g_assert_cmpint(hot[1].page, ==, 101);
    g_assert_cmpint(hot[2].page, ==, 2);
    teardown();
}

/* More pages than the list holds: those with most are in it. */
static void test_full(void)
{
    EngineHotPage hot[ENGINE_HOT_MAX];

    setup();
    for (unsigned i = 0; i < 2 * ENGINE_HOT_MAX; i++) {
        add(&heat, i, i + 1);
    }
    g_assert_cmpint(heat_merge(&heat, hot, ENGINE_HOT_MAX, 0), ==,
                    ENGINE_HOT_MAX);
    for (unsigned i = 0; i < ENGINE_HOT_MAX; i++) {
        g_assert_cmpint(hot[i].page, ==, 2 * ENGINE_HOT_MAX - 1 - i);
        g_assert_cmpint(hot[i].faults, ==, 2 * ENGINE_HOT_MAX - i);
    }
    teardown();
}

static void test_stops(void)
{
    EngineHotPage hot[1];

    setup();
    add(&heat, 9, UINT16_MAX + 10);
    heat_merge(&heat, hot, 1, 0);
    g_assert_cmpint(hot[0].faults, ==, UINT16_MAX);
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/heat/order", test_order);
    g_test_add_func("/heat/lanes", test_lanes);
    g_test_add_func("/heat/full", test_full);
    g_test_add_func("/heat/stops", test_stops);
    return g_test_run();
}
