/*
 * distkvm: sections of a memory map, and how two lists of them differ
 *
 * A list has the sections of one address space in the order of their
 * addresses, as QEMU's flat view has them.  Two lists differ by the sections
 * that are gone and those that are new; a section that has changed is both.
 * After address_space_update_topology_pass() in QEMU's system/memory.c, which
 * compares views so.  Pure; no locks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MAP_LIST_H
#define DISTKVM_MAP_LIST_H

#include "accel/distkvm/core/coh-types.h"

typedef struct MapSection {
    uint64_t addr, size;        /* bytes                                    */
    uint64_t offset;            /* where in @block it begins, in bytes      */
    char *block;                /* RAM block, g_free; NULL: a device        */
    bool rom, readonly;
    CohNodeId owner;
} MapSection;

/* How a list of sections differs from the one before. */
typedef struct MapDelta {
    GArray *removed;            /* uint64_t: addresses of old sections      */
    GPtrArray *added;           /* const MapSection, of the new list        */
} MapDelta;

/* An empty list of MapSection, whose blocks it frees. */
GArray *map_list_new(void);
/* From @before to @now, both in the order of addresses. */
void map_list_compare(MapDelta *delta, const GArray *before,
                      const GArray *now);
bool map_delta_is_empty(const MapDelta *delta);
/* Free what is in @delta. */
void map_delta_clear(MapDelta *delta);

#endif
