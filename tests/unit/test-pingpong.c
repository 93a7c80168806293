/*
 * Pages that had better stay where they are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/client/pingpong.h"

#define PAGE 7

static PingPong pingpong;

static void pingpong_reset(void)
{
    memset(&pingpong, 0, sizeof(pingpong));
}

/* The page comes, is used so often, and is taken: did it have to come? */
static bool stay(CohPage page, unsigned uses)
{
    bool comes = !pingpong_missed(&pingpong, page);

    for (unsigned i = 0; comes && i < uses; i++) {
        pingpong_used(&pingpong, page);
    }
    return comes;
}

/* So many accesses in a row travel. */
static void assert_travels(CohPage page, unsigned accesses)
{
    for (unsigned i = 0; i < accesses; i++) {
        g_assert_true(pingpong_missed(&pingpong, page));
    }
}

/* From a page nobody knows to one whose next access travels. */
static void strike_out(CohPage page)
{
    /* Its first stay is not judged. */
    g_assert_true(stay(page, 0));
    for (int i = 0; i < PINGPONG_STRIKES; i++) {
        g_assert_true(stay(page, PINGPONG_USES - 1));
    }
}

static void test_useful(void)
{
    pingpong_reset();
    for (int i = 0; i < 100; i++) {
        g_assert_true(stay(PAGE, PINGPONG_USES));
    }
}

/* Short stays only count in a row. */
static void test_sometimes_useful(void)
{
    pingpong_reset();
    for (int i = 0; i < 100; i++) {
        g_assert_true(stay(PAGE, i % PINGPONG_STRIKES ? 0 : PINGPONG_USES));
    }
}

static void test_travels(void)
{
    pingpong_reset();
    strike_out(PAGE);
    assert_travels(PAGE, PINGPONG_TRAVELS);
    /* Tried again: one short stay, and it goes on. */
    g_assert_true(stay(PAGE, PINGPONG_USES - 1));
    assert_travels(PAGE, PINGPONG_TRAVELS);
    g_assert_true(stay(PAGE, 0));
    assert_travels(PAGE, PINGPONG_TRAVELS);
}

static void test_useful_again(void)
{
    pingpong_reset();
    strike_out(PAGE);
    assert_travels(PAGE, PINGPONG_TRAVELS);
    g_assert_true(stay(PAGE, PINGPONG_USES));
    /* All is forgotten: it takes as many short stays as the first time. */
    for (int i = 0; i < PINGPONG_STRIKES; i++) {
        g_assert_true(stay(PAGE, 1));
    }
    assert_travels(PAGE, PINGPONG_TRAVELS);
}

static void test_collision(void)
{
    pingpong_reset();
    strike_out(PAGE);
    assert_travels(PAGE, 1);
    /* Another page takes its place in the table: nothing is known of it. */
    strike_out(PAGE + PINGPONG_PAGES);
    assert_travels(PAGE + PINGPONG_PAGES, 1);
    /* Nor of the first any more. */
    strike_out(PAGE);
    assert_travels(PAGE, PINGPONG_TRAVELS);
}

/* Uses of a page whose place another has taken do not count for that one. */
static void test_collision_of_uses(void)
{
    pingpong_reset();
    g_assert_true(stay(PAGE, 0));
    for (int i = 0; i < PINGPONG_STRIKES; i++) {
        g_assert_true(stay(PAGE, 1));
        for (int n = 0; n < PINGPONG_USES; n++) {
            pingpong_used(&pingpong, PAGE + PINGPONG_PAGES);
        }
    }
    assert_travels(PAGE, PINGPONG_TRAVELS);
}

static void test_apart(void)
{
    pingpong_reset();
    strike_out(PAGE);
    g_assert_true(stay(PAGE + 1, 1));
    assert_travels(PAGE, PINGPONG_TRAVELS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pingpong/useful", test_useful);
    g_test_add_func("/pingpong/sometimes-useful", test_sometimes_useful);
    g_test_add_func("/pingpong/travels", test_travels);
    g_test_add_func("/pingpong/useful-again", test_useful_again);
    g_test_add_func("/pingpong/collision", test_collision);
    g_test_add_func("/pingpong/collision-of-uses", test_collision_of_uses);
    g_test_add_func("/pingpong/apart", test_apart);
    return g_test_run();
}
