/*
 * Homes and shares
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/cluster-map.h"

static void test_home(void)
{
    /* Node 1 gives no memory. */
    ClusterMap map = { .nodes = 3, .page_first = { 0, 10, 10, 25 } };

    g_assert_cmpint(cluster_map_home(&map, 0), ==, 0);
    g_assert_cmpint(cluster_map_home(&map, 9), ==, 0);
    g_assert_cmpint(cluster_map_home(&map, 10), ==, 2);
    g_assert_cmpint(cluster_map_home(&map, 24), ==, 2);
    g_assert_cmpint(cluster_map_home(&map, 25), ==, COH_NODE_NONE);
    g_assert_cmpint(cluster_map_home(&map, UINT64_MAX), ==, COH_NODE_NONE);
}

static void test_even(void)
{
    uint64_t share[COH_NODES_MAX];

    cluster_map_even(5, 1, 3, share);
    g_assert_cmpint(share[0], ==, 2);
    g_assert_cmpint(share[1], ==, 2);
    g_assert_cmpint(share[2], ==, 1);
    cluster_map_even(3 * COH_PAGE_SIZE + 7, COH_PAGE_SIZE, 2, share);
    g_assert_cmpint(share[0], ==, 2 * COH_PAGE_SIZE + 7);
    g_assert_cmpint(share[1], ==, COH_PAGE_SIZE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cluster-map/home", test_home);
    g_test_add_func("/cluster-map/even", test_even);
    return g_test_run();
}
