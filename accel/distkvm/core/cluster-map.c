/*
 * distkvm: who is home of what
 *
 * Pure; knows nothing of how the map was agreed on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cluster-map.h"

CohNodeId cluster_map_home(const ClusterMap *map, CohPage page)
{
    unsigned lo = 0, hi = map->nodes;

    if (page >= map->page_first[map->nodes]) {
        return COH_NODE_NONE;
    }
    /* The last node whose slice starts at or before the page. */
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;

        if (map->page_first[mid] <= page) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

void cluster_map_even(uint64_t total, uint64_t unit, unsigned nodes,
                      uint64_t *share)
{
    uint64_t units = total / unit;
    uint64_t given = 0;

    for (unsigned n = 0; n < nodes; n++) {
        share[n] = (units / nodes + (n < units % nodes)) * unit;
        given += share[n];
    }
    share[0] += total - given;
}
