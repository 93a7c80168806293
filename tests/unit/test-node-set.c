/*
 * Sets of nodes, over several words
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-types.h"

/* First and last, and both sides of a word's end. */
static const CohNodeId members[] = { 0, 63, 64, 700, COH_NODES_MAX - 1 };

static CohNodeSet some_nodes(void)
{
    CohNodeSet set = coh_set_empty();

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        coh_set_add(&set, members[i]);
        coh_set_add(&set, members[i]);
    }
    return set;
}

static void test_members(void)
{
    CohNodeSet set = some_nodes();
    unsigned from = 0;

    g_assert_cmpint(coh_set_count(&set), ==, G_N_ELEMENTS(members));
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        g_assert_true(coh_set_has(&set, members[i]));
        g_assert_cmpint(coh_set_next(&set, from), ==, members[i]);
        from = members[i] + 1;
    }
    g_assert_cmpint(coh_set_next(&set, from), ==, COH_NODE_NONE);
    g_assert_false(coh_set_has(&set, 1));
    g_assert_false(coh_set_has(&set, 62));
    g_assert_false(coh_set_has(&set, 128));
}

static void test_remove(void)
{
    CohNodeSet set = some_nodes();

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        g_assert_false(coh_set_is_empty(&set));
        g_assert_cmpint(coh_set_is_only(&set, members[i]), ==,
                        i == G_N_ELEMENTS(members) - 1);
        coh_set_remove(&set, members[i]);
        g_assert_false(coh_set_has(&set, members[i]));
    }
    g_assert_true(coh_set_is_empty(&set));
    g_assert_cmpint(coh_set_count(&set), ==, 0);
}

static void test_only(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        CohNodeSet set = coh_set_one(members[i]);

        for (CohNodeId node = 0; node < COH_NODES_MAX; node++) {
            g_assert_cmpint(coh_set_is_only(&set, node), ==,
                            node == members[i]);
        }
        coh_set_add(&set, members[i] ^ 1);
        g_assert_false(coh_set_is_only(&set, members[i]));
    }
}

/* Every member is picked, as often as any other. */
static void test_pick(void)
{
    CohNodeSet set = some_nodes();

    for (uint64_t seed = 0; seed < 3 * G_N_ELEMENTS(members); seed++) {
        g_assert_cmpint(coh_set_pick(&set, seed), ==,
                        members[seed % G_N_ELEMENTS(members)]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/node-set/members", test_members);
    g_test_add_func("/node-set/remove", test_remove);
    g_test_add_func("/node-set/only", test_only);
    g_test_add_func("/node-set/pick", test_pick);
    return g_test_run();
}
