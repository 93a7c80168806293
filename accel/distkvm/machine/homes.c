/*
 * distkvm: query-distkvm-homes
 *
 * The memory map says where coherent RAM is seen, and the cluster's map which
 * node is home of it.  Main loop, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "qemu/rcu.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"

typedef struct Homes {
    DistKVMHomeList *list, **tail;
    DistKVMHome *last;
} Homes;

static void add(Homes *homes, hwaddr address, uint64_t bytes, CohNodeId node)
{
    DistKVMHome *last = homes->last;

    if (last && last->node == node && last->address + last->bytes == address) {
        last->bytes += bytes;
        return;
    }
    last = g_new0(DistKVMHome, 1);
    last->address = address;
    last->bytes = bytes;
    last->node = node;
    QAPI_LIST_APPEND(homes->tail, last);
    homes->last = last;
}

/* A range of the memory map, cut where stretches begin. */
static bool add_range(Int128 start, Int128 len, const MemoryRegion *mr,
                      hwaddr offset, void *opaque)
{
    const ClusterMap *map = distkvm->map;
    hwaddr address = int128_get64(start), end = address + int128_get64(len);

    if (!distkvm_ram_is_coherent(mr)) {
        return false;
    }
    while (address < end) {
        CohPage page = distkvm_ram_page(mr, offset);
        CohPage next = ((page >> map->bits) + 1) << map->bits;
        uint64_t bytes = MIN((next - page) << COH_PAGE_BITS, end - address);

        add(opaque, address, bytes, cluster_map_home(map, page));
        address += bytes;
        offset += bytes;
    }
    return false;
}

DistKVMHomeList *qmp_query_distkvm_homes(Error **errp)
{
    Homes homes = { .tail = &homes.list };

    if (!distkvm || !distkvm->map) {
        error_setg(errp, "-accel distkvm is not in use");
        return NULL;
    }
    RCU_READ_LOCK_GUARD();
    flatview_for_each_range(address_space_to_flatview(&address_space_memory),
                            add_range, &homes);
    return homes.list;
}
