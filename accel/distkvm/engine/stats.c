/*
 * distkvm: what the protocol's records cost
 *
 * Tables are allocated for all pages at once, but the host gives memory only
 * where a page's entry was ever written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "engine-internal.h"

/* Bytes of whole host pages, within a table, that are in memory. */
static uint64_t resident_bytes(const void *table, size_t bytes)
{
    size_t page = qemu_real_host_page_size();
    uintptr_t first = ROUND_UP((uintptr_t)table, page);
    uintptr_t end = ROUND_DOWN((uintptr_t)table + bytes, page);
    g_autofree unsigned char *in = NULL;
    uint64_t sum = 0;

    if (end <= first) {
        return bytes;
    }
    in = g_malloc((end - first) / page);
    if (mincore((void *)first, end - first, in)) {
        return bytes;
    }
    for (size_t i = 0; i < (end - first) / page; i++) {
        sum += in[i] & 1 ? page : 0;
    }
    return sum;
}

void engine_size(Engine *e, EngineSize *size)
{
    const ClusterMap *map = e->config.map;
    CohPage pages = map->pages;

    size->home_bytes = resident_bytes(e->node.entries,
                                      coh_node_home_bytes(map, e->node.id));
    size->page_bytes = resident_bytes(e->node.peer,
                                      coh_node_peer_bytes(map)) +
                       resident_bytes(e->heat, pages * sizeof(*e->heat));
    size->snapshot_bytes = 0;
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        size->snapshot_bytes += delta_bytes(e->all[lane]->delta);
    }
}
