/*
 * Members and their view, with sets of several words as the simulator's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/view.h"

static void test_numbers(void)
{
    SharedView shared;
    View view;

    view_init(&shared, 3);
    view = view_get(&shared);
    g_assert_cmpint(view.number, ==, 1);
    g_assert_true(coh_set_is_only(&view.members, 3));
    g_assert_cmpint(view_add(&shared, 700), ==, 2);
    /* It was a member: nothing has changed. */
    g_assert_cmpint(view_add(&shared, 700), ==, 2);
    g_assert_cmpint(view_add(&shared, 0), ==, 3);
    view = view_get(&shared);
    g_assert_cmpint(view.number, ==, 3);
    g_assert_cmpint(coh_set_count(&view.members), ==, 3);
    g_assert_cmpint(view_remove(&shared, 700), ==, 4);
    g_assert_cmpint(view_remove(&shared, 700), ==, 4);
    view = view_get(&shared);
    g_assert_cmpint(view.number, ==, 4);
    g_assert_false(coh_set_has(&view.members, 700));
    g_assert_true(coh_set_has(&view.members, 0));
    /* It may come back, in another view. */
    g_assert_cmpint(view_add(&shared, 700), ==, 5);
}

static void test_loop(void)
{
    static const CohNodeId members[] = { 1, 63, 64, 1023 };
    CohNodeSet set = coh_set_empty(), more = coh_set_empty();
    CohNodeId n;
    unsigned i = 0;

    for (; i < G_N_ELEMENTS(members); i++) {
        coh_set_add(&set, members[i]);
        coh_set_add(&more, members[i]);
    }
    i = 0;
    COH_SET_FOREACH(n, &set) {
        g_assert_cmpint(n, ==, members[i++]);
    }
    g_assert_cmpint(i, ==, G_N_ELEMENTS(members));
    g_assert_true(coh_set_has_all(&more, &set));
    coh_set_add(&more, 2);
    g_assert_true(coh_set_has_all(&more, &set));
    g_assert_false(coh_set_has_all(&set, &more));
    more = coh_set_empty();
    g_assert_true(coh_set_has_all(&more, &more));
}

#define ROUNDS 200000

static gpointer watch(gpointer opaque)
{
    const SharedView *shared = opaque;
    View view;

    do {
        view = view_get(shared);
        /* As test_whole() has it. */
        g_assert_cmpint(coh_set_has(&view.members, 1), ==,
                        (view.number + 1) / 2 % 2);
        g_assert_cmpint(coh_set_has(&view.members, 1000), ==,
                        view.number / 2 % 2);
    } while (view.number < ROUNDS);
    return NULL;
}

/* Number and set belong together, whatever is written meanwhile. */
static void test_whole(void)
{
    SharedView shared;
    GThread *thread;

    /* Numbers 1, 2, 3, 4: {1}, {1, 1000}, {1000}, {}, and again. */
    view_init(&shared, 1);
    thread = g_thread_new("watch", watch, &shared);
    for (uint64_t number = 1; number < ROUNDS;) {
        number = view_add(&shared, 1000);
        number = view_remove(&shared, 1);
        number = view_remove(&shared, 1000);
        number = view_add(&shared, 1);
    }
    g_thread_join(thread);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/view/numbers", test_numbers);
    g_test_add_func("/view/loop", test_loop);
    g_test_add_func("/view/whole", test_whole);
    return g_test_run();
}
