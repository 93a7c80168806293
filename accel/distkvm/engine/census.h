/*
 * distkvm: pages that are here, counted by stretch
 *
 * Counters are kept beside the states of pages: a question reads two numbers
 * for 2 MiB, and never a page nor its state.  A stretch has one lane, whose
 * thread writes its counters; any thread reads them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CENSUS_H
#define DISTKVM_CENSUS_H

#include "qemu/atomic.h"
#include "accel/distkvm/core/cluster-map.h"

/* Atomic, each by itself. */
typedef struct CensusCounts {
    uint32_t present;       /* pages on this node                           */
    uint32_t owned;         /* those of them that it may write to           */
} CensusCounts;

/* One for each stretch of @map; g_free. */
static inline CensusCounts *census_new(const ClusterMap *map)
{
    return g_new0(CensusCounts, cluster_map_stretches(map));
}

/* Add to the counters of @page's stretch.  The thread of its lane. */
static inline void census_add(CensusCounts *census, const ClusterMap *map,
                              CohPage page, int present, int owned)
{
    CensusCounts *counts = &census[page >> map->bits];

    qatomic_set(&counts->present, counts->present + present);
    qatomic_set(&counts->owned, counts->owned + owned);
}

/* The sum of @n stretches from @first on, all of the map.  Any thread. */
static inline CensusCounts census_sum(const CensusCounts *census,
                                      uint64_t first, uint64_t n)
{
    CensusCounts sum = { 0 };

    for (uint64_t s = first; s < first + n; s++) {
        sum.present += qatomic_read(&census[s].present);
        sum.owned += qatomic_read(&census[s].owned);
    }
    return sum;
}

#endif
