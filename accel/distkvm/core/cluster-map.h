/*
 * distkvm: who is home of what
 *
 * Pure look-ups over what all nodes agreed on when joining: which slice of
 * coherent RAM lies on which node.
 * Slices go by RAM offset, independent of how many memory backends there
 * are.  Spec: docs/architecture.rst, "Homes".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CLUSTER_MAP_H
#define CLUSTER_MAP_H

#include "coh-types.h"

typedef struct ClusterMap {
    unsigned nodes;
    /* Node n is home of pages [page_first[n], page_first[n + 1]). */
    CohPage page_first[COH_NODES_MAX + 1];
} ClusterMap;

/* Home of @page, or COH_NODE_NONE if the page is outside coherent RAM. */
CohNodeId cluster_map_home(const ClusterMap *map, CohPage page);

/*
 * Divide @total into @nodes parts as even as possible, in units of @unit;
 * earlier nodes take the rest.  @share gets @nodes values.
 */
void cluster_map_even(uint64_t total, uint64_t unit, unsigned nodes,
                      uint64_t *share);

#endif
