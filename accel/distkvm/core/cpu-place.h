/*
 * distkvm: which node executes which vCPU now
 *
 * A vCPU's place is the node that executes it.  Places begin as vcpus= says,
 * node 0's vCPUs first; a vCPU that moves gets another.  Each node has a table
 * of its own, so two nodes may differ for a moment about a vCPU that moves.
 *
 * Threads: every table has one writer at a time (in QEMU the BQL's holder).
 * Readers are any thread, without a lock.  A reader that sees a new place also
 * sees all that the writer stored before it set that place.
 *
 * Pure.  Spec: docs/architecture.rst, "Accelerator".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CPU_PLACE_H
#define CPU_PLACE_H

#include "coh-types.h"

typedef struct CpuPlaces {
    unsigned cpus;      /* constant; 0: a node without a machine            */
    CohNodeId *place;   /* of each vCPU by index; atomic                    */
} CpuPlaces;

/* Node n of @nodes gets the next @vcpus[n] vCPUs.  Before other threads run. */
void cpu_places_init(CpuPlaces *places, const uint64_t *vcpus,
                     unsigned nodes);
void cpu_places_free(CpuPlaces *places);

/* Node that executes vCPU @cpu, or COH_NODE_NONE if there is no such vCPU. */
static inline CohNodeId cpu_place_get(const CpuPlaces *places, uint32_t cpu)
{
    return cpu < places->cpus
           ? __atomic_load_n(&places->place[cpu], __ATOMIC_ACQUIRE)
           : COH_NODE_NONE;
}

/* From now on @node executes @cpu, which must exist.  The writer. */
void cpu_place_set(CpuPlaces *places, uint32_t cpu, CohNodeId node);

/* How many vCPUs @node executes. */
unsigned cpu_places_count(const CpuPlaces *places, CohNodeId node);

/*
 * Sockets of @size vCPUs each, by index, are cut into equal parts such that
 * none has vCPUs of two of @nodes: the most vCPUs of a part, at least 1 and at
 * most @size.  At first places.
 */
unsigned cpu_places_socket(const CpuPlaces *places, unsigned nodes,
                           unsigned size);

#endif
