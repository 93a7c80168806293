/*
 * Homes and shares
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/cluster-map.h"

#define STRETCH (UINT64_C(1) << CLUSTER_STRETCH_BITS)

static void test_home(void)
{
    /* Node 1 gives no memory. */
    static const CohPage share[] = { 10, 0, 15 };
    ClusterMap *map = cluster_map_new(3, 25, 0, share);

    g_assert_cmpint(map->version, ==, 1);
    g_assert_cmpint(cluster_map_home(map, 0), ==, 0);
    g_assert_cmpint(cluster_map_home(map, 9), ==, 0);
    g_assert_cmpint(cluster_map_home(map, 10), ==, 2);
    g_assert_cmpint(cluster_map_home(map, 24), ==, 2);
    g_assert_cmpint(cluster_map_home(map, 25), ==, COH_NODE_NONE);
    g_assert_cmpint(cluster_map_home(map, UINT64_MAX), ==, COH_NODE_NONE);
    cluster_map_free(map);
}

/* Each page has one home, and each share is the number of its pages. */
static void check_shares(const ClusterMap *map)
{
    CohPage share[COH_NODES_MAX] = { 0 };

    for (CohPage page = 0; page < map->pages; page++) {
        g_assert_cmpint(cluster_map_home(map, page), <, map->nodes);
        g_assert_cmpint(cluster_map_home(map, page), ==,
                        map->home[page / STRETCH]);
        share[cluster_map_home(map, page)]++;
    }
    for (unsigned n = 0; n < map->nodes; n++) {
        g_assert_cmpint(map->share[n], ==, share[n]);
    }
}

/* 256 MiB over three nodes. */
static void test_stretches(void)
{
    ClusterMap *map = cluster_map_new_even(3, 65536, CLUSTER_STRETCH_BITS);

    g_assert_cmpint(cluster_map_stretches(map), ==, 128);
    check_shares(map);
    g_assert_cmpint(map->share[0], ==, 43 * STRETCH);
    g_assert_cmpint(map->share[1], ==, 43 * STRETCH);
    g_assert_cmpint(map->share[2], ==, 42 * STRETCH);
    g_assert_cmpint(cluster_map_home(map, 43 * STRETCH - 1), ==, 0);
    g_assert_cmpint(cluster_map_home(map, 43 * STRETCH), ==, 1);
    cluster_map_free(map);
}

static void test_short_stretch(void)
{
    /* The last node that gives memory gets the end. */
    static const CohPage share[] = { 2 * STRETCH, STRETCH + 1, 0 };
    ClusterMap *map = cluster_map_new(3, 3 * STRETCH + 1,
                                      CLUSTER_STRETCH_BITS, share);

    g_assert_cmpint(cluster_map_stretches(map), ==, 4);
    g_assert_cmpint(cluster_map_stretch_pages(map, 2), ==, STRETCH);
    g_assert_cmpint(cluster_map_stretch_pages(map, 3), ==, 1);
    g_assert_cmpint(cluster_map_home(map, 3 * STRETCH), ==, 1);
    g_assert_cmpint(cluster_map_home(map, 3 * STRETCH + 1), ==,
                    COH_NODE_NONE);
    check_shares(map);
    cluster_map_free(map);
    /* Less than one stretch for each. */
    map = cluster_map_new_even(2, 5, CLUSTER_STRETCH_BITS);
    check_shares(map);
    g_assert_cmpint(map->share[0], ==, 5);
    cluster_map_free(map);
}

/* Borders go to the nearest stretch's, and errors do not add up. */
static void test_rounding(void)
{
    static const CohPage share[] = {
        STRETCH + 100, STRETCH + 100, STRETCH + 100, STRETCH - 300,
    };
    ClusterMap *map = cluster_map_new(4, 4 * STRETCH, CLUSTER_STRETCH_BITS,
                                      share);

    for (unsigned n = 0; n < 4; n++) {
        g_assert_cmpint(map->share[n], ==, n == 2 ? 2 * STRETCH :
                                           n == 3 ? 0 : STRETCH);
    }
    check_shares(map);
    cluster_map_free(map);
    for (unsigned i = 0; i < 1000; i++) {
        CohPage any[4] = { 0 }, sum = 0;

        for (unsigned n = 0; n < 4; n++) {
            any[n] = g_test_rand_int_range(0, 4) ?
                     g_test_rand_int_range(0, 5 * STRETCH) : 0;
            sum += any[n];
        }
        map = cluster_map_new(4, sum, CLUSTER_STRETCH_BITS, any);
        check_shares(map);
        for (unsigned n = 0; n < 4; n++) {
            g_assert_cmpint(ABS((int64_t)(map->share[n] - any[n])), <=,
                            STRETCH);
            g_assert_true(any[n] || !map->share[n]);
        }
        cluster_map_free(map);
    }
}

/* A new map: threads that read the old one find it unchanged. */
static void test_next(void)
{
    ClusterMap *old = cluster_map_new_even(2, 3 * STRETCH + 7,
                                           CLUSTER_STRETCH_BITS);
    ClusterMap *map = cluster_map_next(old, 3, 0);

    g_assert_cmpint(map->version, ==, 2);
    g_assert_cmpint(cluster_map_home(old, 3 * STRETCH), ==, 1);
    g_assert_cmpint(cluster_map_home(map, 3 * STRETCH), ==, 0);
    g_assert_cmpint(cluster_map_home(map, 2 * STRETCH), ==, 1);
    check_shares(old);
    check_shares(map);
    cluster_map_free(old);
    cluster_map_free(map);
}

static void test_even(void)
{
    uint64_t share[COH_NODES_MAX];

    cluster_map_even(5, 3, share);
    g_assert_cmpint(share[0], ==, 2);
    g_assert_cmpint(share[1], ==, 2);
    g_assert_cmpint(share[2], ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cluster-map/home", test_home);
    g_test_add_func("/cluster-map/stretches", test_stretches);
    g_test_add_func("/cluster-map/short-stretch", test_short_stretch);
    g_test_add_func("/cluster-map/rounding", test_rounding);
    g_test_add_func("/cluster-map/next", test_next);
    g_test_add_func("/cluster-map/even", test_even);
    return g_test_run();
}
