/*
 * Pages that had better stay where they are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/client/bounce.h"

#define PAGE 7

static Bounce bounce;

static void bounce_reset(void)
{
    memset(&bounce, 0, sizeof(bounce));
}

/* The page comes, is used so often, and is taken: did it have to come? */
static bool stay(CohPage page, unsigned uses)
{
    bool comes = !bounce_missed(&bounce, page);

    for (unsigned i = 0; comes && i < uses; i++) {
        bounce_used(&bounce, page);
    }
    return comes;
}

/* So many accesses in a row travel. */
static void assert_travels(CohPage page, unsigned accesses)
{
    for (unsigned i = 0; i < accesses; i++) {
        g_assert_true(bounce_missed(&bounce, page));
    }
}

/* From a page nobody knows to one whose next access travels. */
static void strike_out(CohPage page)
{
    /* Its first stay is not judged. */
    g_assert_true(stay(page, 0));
    for (int i = 0; i < BOUNCE_STRIKES; i++) {
        g_assert_true(stay(page, BOUNCE_USES - 1));
    }
}

static void test_useful(void)
{
    bounce_reset();
    for (int i = 0; i < 100; i++) {
        g_assert_true(stay(PAGE, BOUNCE_USES));
    }
}

/* Short stays only count in a row. */
static void test_sometimes_useful(void)
{
    bounce_reset();
    for (int i = 0; i < 100; i++) {
        g_assert_true(stay(PAGE, i % BOUNCE_STRIKES ? 0 : BOUNCE_USES));
    }
}

static void test_travels(void)
{
    bounce_reset();
    strike_out(PAGE);
    assert_travels(PAGE, BOUNCE_TRAVELS);
    /* Tried again: one short stay, and it goes on. */
    g_assert_true(stay(PAGE, BOUNCE_USES - 1));
    assert_travels(PAGE, BOUNCE_TRAVELS);
    g_assert_true(stay(PAGE, 0));
    assert_travels(PAGE, BOUNCE_TRAVELS);
}

static void test_useful_again(void)
{
    bounce_reset();
    strike_out(PAGE);
    assert_travels(PAGE, BOUNCE_TRAVELS);
    g_assert_true(stay(PAGE, BOUNCE_USES));
    /* All is forgotten: it takes as many short stays as the first time. */
    for (int i = 0; i < BOUNCE_STRIKES; i++) {
        g_assert_true(stay(PAGE, 1));
    }
    assert_travels(PAGE, BOUNCE_TRAVELS);
}

static void test_collision(void)
{
    bounce_reset();
    strike_out(PAGE);
    assert_travels(PAGE, 1);
    /* Another page takes its place in the table: nothing is known of it. */
    strike_out(PAGE + BOUNCE_PAGES);
    assert_travels(PAGE + BOUNCE_PAGES, 1);
    /* Nor of the first any more. */
    strike_out(PAGE);
    assert_travels(PAGE, BOUNCE_TRAVELS);
}

/* Uses of a page whose place another has taken do not count for that one. */
static void test_collision_of_uses(void)
{
    bounce_reset();
    g_assert_true(stay(PAGE, 0));
    for (int i = 0; i < BOUNCE_STRIKES; i++) {
        g_assert_true(stay(PAGE, 1));
        for (int n = 0; n < BOUNCE_USES; n++) {
            bounce_used(&bounce, PAGE + BOUNCE_PAGES);
        }
    }
    assert_travels(PAGE, BOUNCE_TRAVELS);
}

static void test_apart(void)
{
    bounce_reset();
    strike_out(PAGE);
    g_assert_true(stay(PAGE + 1, 1));
    assert_travels(PAGE, BOUNCE_TRAVELS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bounce/useful", test_useful);
    g_test_add_func("/bounce/sometimes-useful", test_sometimes_useful);
    g_test_add_func("/bounce/travels", test_travels);
    g_test_add_func("/bounce/useful-again", test_useful_again);
    g_test_add_func("/bounce/collision", test_collision);
    g_test_add_func("/bounce/collision-of-uses", test_collision_of_uses);
    g_test_add_func("/bounce/apart", test_apart);
    return g_test_run();
}
