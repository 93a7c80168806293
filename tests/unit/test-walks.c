/*
 * Page tables that are fetched together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/pagewalk.h"

static void test_remembers(void)
{
    Walks w = { .n = 0 };

    walks_lost(&w, 1, true);
    walks_lost(&w, 2, true);
    g_assert_true(walks_has(&w, 1));
    g_assert_true(walks_has(&w, 2));
    g_assert_false(walks_has(&w, 3));
    /* Written to, so it was not only walked. */
    walks_lost(&w, 1, false);
    g_assert_false(walks_has(&w, 1));
    g_assert_cmpint(w.n, ==, 1);
    /* What was never there is no harm. */
    walks_lost(&w, 9, false);
    g_assert_cmpint(w.n, ==, 1);
}

static void test_forgets_oldest(void)
{
    Walks w = { .n = 0 };

    for (CohPage page = 0; page < WALKS_PAGES; page++) {
        walks_lost(&w, page, true);
    }
    /* Lost again: the latest now. */
    walks_lost(&w, 0, true);
    walks_lost(&w, 100, true);
    g_assert_cmpint(w.n, ==, WALKS_PAGES);
    g_assert_cmpint(w.page[0], ==, 100);
    g_assert_true(walks_has(&w, 0));
    g_assert_false(walks_has(&w, 1));
    for (unsigned i = 0; i < w.n; i++) {
        for (unsigned j = 0; j < i; j++) {
            g_assert_cmpint(w.page[i], !=, w.page[j]);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/walks/remembers", test_remembers);
    g_test_add_func("/walks/forgets-oldest", test_forgets_oldest);
    return g_test_run();
}
