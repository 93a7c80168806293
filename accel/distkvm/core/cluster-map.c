/*
 * distkvm: which node is home of which RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cluster-map.h"

static size_t map_bytes(uint64_t stretches)
{
    return sizeof(ClusterMap) + stretches * sizeof(CohNodeId);
}

static ClusterMap *map_of(unsigned nodes, CohPage pages, unsigned bits)
{
    const ClusterMap shape = { .pages = pages, .bits = bits };
    ClusterMap *map = g_malloc0(map_bytes(cluster_map_stretches(&shape)));

    map->version = 1;
    map->nodes = nodes;
    map->bits = bits;
    map->pages = pages;
    return map;
}

/* @node is home of the stretches from @first on that are before @end. */
static void give(ClusterMap *map, CohNodeId node, uint64_t first, uint64_t end)
{
    for (uint64_t s = first; s < end; s++) {
        map->home[s] = node;
        map->share[node] += cluster_map_stretch_pages(map, s);
    }
}

ClusterMap *cluster_map_new(unsigned nodes, CohPage pages, unsigned bits,
                            const CohPage *share)
{
    ClusterMap *map = map_of(nodes, pages, bits);
    uint64_t stretches = cluster_map_stretches(map), first = 0;
    CohPage half = UINT64_C(1) << bits >> 1, sum = 0;

    for (unsigned n = 0; n < nodes; n++) {
        uint64_t end;

        sum += share[n];
        /* The last stretch, which may be short, is of a node with a share. */
        end = sum == pages ? stretches : MIN((sum + half) >> bits, stretches);
        give(map, n, first, end);
        first = end;
    }
    return map;
}

ClusterMap *cluster_map_new_even(unsigned nodes, CohPage pages, unsigned bits)
{
    ClusterMap *map = map_of(nodes, pages, bits);
    uint64_t share[COH_NODES_MAX], first = 0;

    cluster_map_even(cluster_map_stretches(map), nodes, share);
    for (unsigned n = 0; n < nodes; n++) {
        give(map, n, first, first + share[n]);
        first += share[n];
    }
    return map;
}

ClusterMap *cluster_map_next(const ClusterMap *map, uint64_t stretch,
                             CohNodeId home)
{
    ClusterMap *next = g_malloc(map_bytes(cluster_map_stretches(map)));

    memcpy(next, map, map_bytes(cluster_map_stretches(map)));
    next->version++;
    next->share[next->home[stretch]] -= cluster_map_stretch_pages(map, stretch);
    give(next, home, stretch, stretch + 1);
    return next;
}

void cluster_map_free(ClusterMap *map)
{
    g_free(map);
}

void cluster_map_even(uint64_t total, unsigned nodes, uint64_t *share)
{
    for (unsigned n = 0; n < nodes; n++) {
        share[n] = total / nodes + (n < total % nodes);
    }
}
