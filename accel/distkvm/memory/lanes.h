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

#include "accel/distkvm/core/coh-types.h"

#define LANES_MAX 8
/* Unless told otherwise: a lane for so many vCPUs of the largest node. */
#define LANE_CPUS 4
/* A lane's stretch is at least this, 2 MiB: runs and groups stay within. */
#define LANE_BITS_MIN 9
/* Each stretch is a mapping of its own for the host's kernel. */
#define LANE_STRETCHES_MAX 8192

typedef struct Lanes {
    unsigned n;
    unsigned bits;          /* of a page number, within a stretch */
} Lanes;

static inline Lanes lanes_make(unsigned n, CohPage pages)
{
    Lanes lanes = { .n = n, .bits = LANE_BITS_MIN };

    while (pages >> lanes.bits > LANE_STRETCHES_MAX) {
        lanes.bits++;
    }
    return lanes;
}

static inline unsigned lane_of(const Lanes *lanes, CohPage page)
{
    return lanes->n > 1 ? (page >> lanes->bits) % lanes->n : 0;
}

#endif
