/*
 * Page tables that are fetched together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/pagewalk.h"

static void test_remembers(void)
{
    Pagewalk w = { .n = 0 };

    pagewalk_left(&w, 1, true);
    pagewalk_left(&w, 2, true);
    g_assert_true(pagewalk_has(&w, 1));
    g_assert_true(pagewalk_has(&w, 2));
    g_assert_false(pagewalk_has(&w, 3));
    /* Written to, so it was not only walked. */
    pagewalk_left(&w, 1, false);
    g_assert_false(pagewalk_has(&w, 1));
    g_assert_cmpint(w.n, ==, 1);
    /* Removing a page that was never there is no harm. */
    pagewalk_left(&w, 9, false);
    g_assert_cmpint(w.n, ==, 1);
}

static void test_forgets_oldest(void)
{
    Pagewalk w = { .n = 0 };

    for (CohPage page = 0; page < PAGEWALK_PAGES; page++) {
        pagewalk_left(&w, page, true);
    }
    /* Lost again: the latest now. */
    pagewalk_left(&w, 0, true);
    pagewalk_left(&w, 100, true);
    g_assert_cmpint(w.n, ==, PAGEWALK_PAGES);
    g_assert_cmpint(w.page[0], ==, 100);
    g_assert_true(pagewalk_has(&w, 0));
    g_assert_false(pagewalk_has(&w, 1));
    for (unsigned i = 0; i < w.n; i++) {
        for (unsigned j = 0; j < i; j++) {
            g_assert_cmpint(w.page[i], !=, w.page[j]);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pagewalk/remembers", test_remembers);
    g_test_add_func("/pagewalk/forgets-oldest", test_forgets_oldest);
    return g_test_run();
}
