/*
 * distkvm: the boot node's memory map, told to followers
 *
 * Node 0's flat views, of memory and of I/O ports, are the cluster's address
 * map.  Node 0 tells the followers which sections of RAM, of ROM, and of other
 * nodes' devices are gone and which are new.  Its own devices are not told:
 * they are wherever the map says nothing.
 * BQL held everywhere.  Spec: docs/architecture.rst, "Memory map".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qapi/util.h"
#include "qemu/error-report.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "map-list.h"
#include "memmap.h"
#include "replica.h"
#include "accel/distkvm/trace.h"

#define ROM_CHUNK_BYTES (256u << 10)

/* An address space, as it was told. */
typedef struct Telling {
    MemoryListener listener;
    MemberSpace space;
    GArray *told, *now;         /* MapSection */
    bool collecting;            /* within a commit: @now is of this view */
} Telling;

static GHashTable *roms_sent;   /* set of block names */

/* ----------------------------------------------------------- collecting */

static void memmap_begin(MemoryListener *listener)
{
    container_of(listener, Telling, listener)->collecting = false;
}

/* Is @mrs, which is RAM, one that followers map?  Fill in @s. */
static bool is_mapped_ram(const MemoryRegionSection *mrs, MapSection *s)
{
    s->rom = !distkvm_ram_is_coherent(mrs->mr);
    /* Writable RAM of a device (VRAM) is reached through its owner. */
    if (s->rom && !mrs->readonly) {
        return false;
    }
    s->offset = mrs->offset_within_region;
    s->readonly = mrs->readonly;
    s->block = g_strdup(mrs->mr->ram_block->idstr);
    return true;
}

/*
 * Called for every section of a view that is built anew, and for none of a
 * view that is kept.
 */
static void memmap_section(MemoryListener *listener, MemoryRegionSection *mrs)
{
    Telling *telling = container_of(listener, Telling, listener);
    MemoryRegion *mr = mrs->mr;
    MapSection s = {
        .addr = mrs->offset_within_address_space,
        .size = int128_get64(mrs->size),
        .owner = io_owner(mr),
    };

    if (!telling->collecting) {
        telling->collecting = true;
        g_array_set_size(telling->now, 0);
    }
    if (memory_region_is_ram(mr) && !memory_region_is_ram_device(mr)
        ? is_mapped_ram(mrs, &s) : s.owner != distkvm->id) {
        g_array_append_val(telling->now, s);
    }
}

/* -------------------------------------------------------------- telling */

static void send_rom(const char *block)
{
    RAMBlock *rb = qemu_ram_block_by_name(block);
    uint64_t size = qemu_ram_get_used_length(rb);
    const uint8_t *data = qemu_ram_get_host_addr(rb);

    MemberMessage message = { .type = MESSAGE_ROM };
    MemberRom *rom = &message.u.rom;

    *rom = (MemberRom) { .block = (char *)block, .size = size };
    if (size > MEMMAP_ROM_BYTES_MAX) {
        warn_report("distkvm: ROM '%s' has %" PRIu64 " MiB; other nodes take"
                    " copies of %u MiB at most, so their vCPUs cannot read"
                    " it; leave it out, or in libvirt: <rom bar='off'/>",
                    block, size >> 20, MEMMAP_ROM_BYTES_MAX >> 20);
        /* Without contents: so that they know why they have none. */
        member_broadcast(&message);
        return;
    }
    rom->has_offset = true;
    for (uint64_t at = 0; at < size; at += ROM_CHUNK_BYTES) {
        g_autofree char *text =
            g_base64_encode(data + at, MIN(size - at, ROM_CHUNK_BYTES));

        rom->offset = at;
        rom->data = text;
        member_broadcast(&message);
    }
}

static MemberMapSection *section_message(const MapSection *s)
{
    MemberMapSection *section = g_new(MemberMapSection, 1);

    *section = (MemberMapSection) {
        .owner = s->owner, .addr = s->addr, .size = s->size,
        .offset = s->offset, .block = g_strdup(s->block), .rom = s->rom,
        .readonly = s->readonly,
    };
    return section;
}

static void tell(MemberSpace space, const MapDelta *delta)
{
    g_autoptr(MemberMessage) message = g_new0(MemberMessage, 1);
    MemberMapSectionList **added = &message->u.map.added;
    uint64List **removed = &message->u.map.removed;

    message->type = MESSAGE_MAP;
    message->u.map.space = space;
    for (guint i = 0; i < delta->removed->len; i++) {
        QAPI_LIST_APPEND(removed, g_array_index(delta->removed, uint64_t, i));
    }
    for (guint i = 0; i < delta->added->len; i++) {
        const MapSection *s = g_ptr_array_index(delta->added, i);

        if (s->rom && g_hash_table_add(roms_sent, g_strdup(s->block))) {
            send_rom(s->block);
        }
        QAPI_LIST_APPEND(added, section_message(s));
    }
    trace_distkvm_memmap_tell(space, delta->removed->len, delta->added->len);
    replica_publish(message);
    if (current_cpu && distkvm_cpu_is_local(current_cpu)) {
        replica_wait_on_cpu(current_cpu);
    }
}

/* Most changes are of node 0's devices only, and nothing is told of them. */
static void memmap_commit(MemoryListener *listener)
{
    Telling *telling = container_of(listener, Telling, listener);
    MapDelta delta;

    if (!telling->collecting) {
        return;
    }
    map_list_compare(&delta, telling->told, telling->now);
    if (!map_delta_is_empty(&delta)) {
        tell(telling->space, &delta);
    }
    map_delta_clear(&delta);
    g_array_unref(telling->told);
    telling->told = telling->now;
    telling->now = map_list_new();
}

static void announce(AddressSpace *as, MemberSpace space, const char *name)
{
    Telling *telling = g_new0(Telling, 1);

    telling->space = space;
    telling->told = map_list_new();
    telling->now = map_list_new();
    telling->listener = (MemoryListener) {
        .name = name,
        .begin = memmap_begin,
        .region_add = memmap_section,
        .region_nop = memmap_section,
        .commit = memmap_commit,
    };
    /* Calls these for the view as it is. */
    memory_listener_register(&telling->listener, as);
}

void memmap_announce(void)
{
    roms_sent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    announce(&address_space_memory, MEMBER_SPACE_MEMORY, "distkvm-map");
    announce(&address_space_io, MEMBER_SPACE_PORTS, "distkvm-ports");
}
