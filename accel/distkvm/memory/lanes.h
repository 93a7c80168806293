/*
 * distkvm: pages are divided into lanes
 *
 * Each lane of a node has a thread, a UCX worker and a userfaultfd of its own
 * and serves its pages alone; so faults, requests and answers of different
 * lanes proceed at once, without a lock.  Which lane a page belongs to is the
 * same on all nodes: lane n speaks with lane n only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LANES_H
#define DISTKVM_LANES_H

#include "accel/distkvm/core/cluster-map.h"

#define LANES_MAX 8
/* vCPUs of the largest node for each lane, unless lanes= is given. */
#define LANE_CPUS 4
/*
 * Lanes take turns after one stretch, 2 MiB, or 2, 4, ... of them: each has one
 * home and one lane, and groups of pages stay within.
 */
#define LANE_BITS_MIN CLUSTER_STRETCH_BITS
/* Each turn is a mapping of its own for the host's kernel. */
#define LANE_TURNS_MAX 8192

typedef struct Lanes {
    unsigned n;
    unsigned bits;          /* of a page number, within a turn */
} Lanes;

static inline Lanes lanes_make(unsigned n, CohPage pages)
{
    Lanes lanes = { .n = n, .bits = LANE_BITS_MIN };

    while (pages >> lanes.bits > LANE_TURNS_MAX) {
        lanes.bits++;
    }
    return lanes;
}

static inline unsigned lane_of(const Lanes *lanes, CohPage page)
{
    return lanes->n > 1 ? (page >> lanes->bits) % lanes->n : 0;
}

#endif
