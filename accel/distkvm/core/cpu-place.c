/*
 * distkvm: which node executes which vCPU now
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu-place.h"

void cpu_places_init(CpuPlaces *places, const uint64_t *vcpus, unsigned nodes)
{
    unsigned cpu = 0;

    places->cpus = 0;
    for (unsigned n = 0; n < nodes; n++) {
        places->cpus += vcpus[n];
    }
    places->place = g_new(CohNodeId, places->cpus);
    for (unsigned n = 0; n < nodes; n++) {
        for (uint64_t i = 0; i < vcpus[n]; i++) {
            places->place[cpu++] = n;
        }
    }
}

void cpu_places_free(CpuPlaces *places)
{
    g_free(places->place);
    *places = (CpuPlaces) { 0 };
}

void cpu_place_set(CpuPlaces *places, uint32_t cpu, CohNodeId node)
{
    __atomic_store_n(&places->place[cpu], node, __ATOMIC_RELEASE);
}

unsigned cpu_places_count(const CpuPlaces *places, CohNodeId node)
{
    unsigned count = 0;

    for (unsigned cpu = 0; cpu < places->cpus; cpu++) {
        count += cpu_place_get(places, cpu) == node;
    }
    return count;
}

unsigned cpu_places_socket(const CpuPlaces *places, unsigned nodes,
                           unsigned size)
{
    unsigned divisor = size;

    for (unsigned n = 0; n < nodes; n++) {
        unsigned rest = cpu_places_count(places, n);

        /* Euclid; of 0 and any number the other. */
        while (rest) {
            unsigned next = divisor % rest;

            divisor = rest;
            rest = next;
        }
    }
    return divisor;
}
