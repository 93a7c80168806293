/*
 * distkvm: which node is home of which RAM
 *
 * Coherent RAM is cut by RAM offset, independent of how many memory backends
 * there are, into stretches of 2 MiB; the last may be short.  Each stretch has
 * one home.  The first map gives every node one run of stretches, in the order
 * of nodes.  Pure.  Spec: docs/architecture.rst, "Homes".
 *
 * Versions: a map never changes, so any thread reads it without a lock.  Homes
 * change by a map with the next version.  It may differ from the last one only
 * in stretches of which no message is under way and for which no node asks, so
 * a thread may read either map until it is given the new one.  DistKVM.map and
 * EngineConfig.map point to the same map.  A lane's thread reads its pointer
 * anew for each event.  A map that was replaced lives until each lane has done
 * a call that was left in its mailbox after that.  State that is derived from a
 * map must be renewed with it: CohNode.map and its directory, the cap of each
 * lane, EngineStats.pages_home.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CLUSTER_MAP_H
#define CLUSTER_MAP_H

#include "coh-types.h"

/* A stretch of guest RAM is 2^9 pages, 2 MiB.  The model has one of a page. */
#define CLUSTER_STRETCH_BITS 9

typedef struct ClusterMap {
    uint64_t version;               /* 1 is the first                       */
    unsigned nodes;                 /* every node's id is below this        */
    unsigned bits;                  /* of a page number, within a stretch   */
    CohPage pages;                  /* of coherent RAM                      */
    CohPage share[COH_NODES_MAX];   /* pages that each node is home of      */
    CohNodeId home[];               /* of each stretch                      */
} ClusterMap;

/*
 * The first map: @share pages for each of @nodes, which sum up to @pages.
 * The borders between nodes are moved to the nearest border between stretches,
 * so a node gets up to half a stretch more or less at each end; a node whose
 * share is 0 gets nothing.
 */
ClusterMap *cluster_map_new(unsigned nodes, CohPage pages, unsigned bits,
                            const CohPage *share);
/* The same with as many stretches for each node, or one more for the first. */
ClusterMap *cluster_map_new_even(unsigned nodes, CohPage pages,
                                 unsigned bits);
/* The next version of @map, in which @home is home of @stretch. */
ClusterMap *cluster_map_next(const ClusterMap *map, uint64_t stretch,
                             CohNodeId home);
void cluster_map_free(ClusterMap *map);

static inline uint64_t cluster_map_stretches(const ClusterMap *map)
{
    return (map->pages + (UINT64_C(1) << map->bits) - 1) >> map->bits;
}

/* Pages of @stretch: fewer of the last one. */
static inline CohPage cluster_map_stretch_pages(const ClusterMap *map,
                                                uint64_t stretch)
{
    CohPage left = map->pages - (stretch << map->bits);

    return MIN(left, UINT64_C(1) << map->bits);
}

/* Home of @page, or COH_NODE_NONE if the page is outside coherent RAM. */
static inline CohNodeId cluster_map_home(const ClusterMap *map, CohPage page)
{
    return page < map->pages ? map->home[page >> map->bits] : COH_NODE_NONE;
}

/*
 * Divide @total into @nodes parts as even as possible; earlier nodes get one
 * more.  @share gets @nodes values.
 */
void cluster_map_even(uint64_t total, unsigned nodes, uint64_t *share);

#endif
