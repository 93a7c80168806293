/*
 * distkvm: the boot node's memory map, on every node
 *
 * Node 0's flat view is the cluster's address map.  It tells every section
 * of RAM and ROM to the followers; there, RAM is an alias of the coherent
 * RAM, ROM a copy of the contents, and all the rest goes to the device's
 * owner (io.c).  Each section names its owner, for now always node 0.
 * BQL held everywhere.  Spec: docs/architecture.rst, "Memory map".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qapi/util.h"
#include "qemu/error-report.h"
#include "hw/boards.h"
#include "crypto/hash.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/text.h"
#include "memmap.h"
#include "replica.h"
#include "accel/distkvm/trace.h"

/* Above a follower's own devices, below its local APIC (0x1000). */
#define MEMMAP_PRIORITY 0x800
#define ROM_CHUNK_BYTES (256u << 10)
#define ROM_BYTES_MAX (64u << 20)

typedef struct MemmapSection {
    uint64_t addr, size, offset;
    char *block;
    bool rom, readonly;
} MemmapSection;

static struct {
    /* node 0 */
    MemoryListener listener;
    GArray *sections;           /* MemmapSection */
    bool collecting, changed;   /* within a commit */
    GHashTable *roms_sent;      /* set of block names */
    bool announced;
    /* follower */
    MemoryRegion container;
    GPtrArray *regions;         /* MemoryRegion, in the container */
    GHashTable *roms;           /* block name -> MemoryRegion */
    GHashTable *roms_refused;   /* set of block names */
} memmap;

/* ---------------------------------------------------- node 0: telling it */

static void section_clear(gpointer opaque)
{
    MemmapSection *s = opaque;

    g_free(s->block);
}

static void memmap_begin(MemoryListener *listener)
{
    memmap.collecting = memmap.changed = false;
}

/*
 * Called for every section of a view that is built anew, and for none of a
 * view that is kept.
 */
static void memmap_section(MemoryListener *listener, MemoryRegionSection *mrs)
{
    MemoryRegion *mr = mrs->mr;
    MemmapSection s = {
        .addr = mrs->offset_within_address_space,
        .size = int128_get64(mrs->size),
        .offset = mrs->offset_within_region,
        .readonly = mrs->readonly,
    };

    if (!memmap.collecting) {
        memmap.collecting = true;
        g_array_set_size(memmap.sections, 0);
    }
    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr)) {
        return;
    }
    s.rom = !distkvm_ram_is_coherent(mr);
    /* Writable RAM of a device (VRAM) is reached through its owner. */
    if (s.rom && !mrs->readonly) {
        return;
    }
    s.block = g_strdup(mr->ram_block->idstr);
    g_array_append_val(memmap.sections, s);
}

static void memmap_added(MemoryListener *listener, MemoryRegionSection *mrs)
{
    memmap.changed = true;
    memmap_section(listener, mrs);
}

static void memmap_deleted(MemoryListener *listener, MemoryRegionSection *mrs)
{
    memmap.changed = true;
}

static void send_rom(const char *block)
{
    RAMBlock *rb = qemu_ram_block_by_name(block);
    uint64_t size = qemu_ram_get_used_length(rb);
    const uint8_t *data = qemu_ram_get_host_addr(rb);

    MemberMessage message = { .type = MESSAGE_ROM };
    MemberRom *rom = &message.u.rom;

    *rom = (MemberRom) { .block = (char *)block, .size = size };
    if (size > ROM_BYTES_MAX) {
        warn_report("distkvm: ROM '%s' has %" PRIu64 " MiB; other nodes take"
                    " copies of %u MiB at most, so their vCPUs cannot read"
                    " it; leave it out, or in libvirt: <rom bar='off'/>",
                    block, size >> 20, ROM_BYTES_MAX >> 20);
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

static MemberMapSection *section_message(const MemmapSection *s)
{
    MemberMapSection *section = g_new(MemberMapSection, 1);

    *section = (MemberMapSection) {
        .owner = 0, .addr = s->addr, .size = s->size, .offset = s->offset,
        .block = g_strdup(s->block), .rom = s->rom, .readonly = s->readonly,
    };
    return section;
}

static void tell_memmap(void)
{
    g_autoptr(MemberMessage) message = g_new0(MemberMessage, 1);
    MemberMapSectionList **tail = &message->u.map.sections;

    message->type = MESSAGE_MAP;
    for (guint i = 0; i < memmap.sections->len; i++) {
        const MemmapSection *s = &g_array_index(memmap.sections,
                                                MemmapSection, i);

        if (s->rom && g_hash_table_add(memmap.roms_sent,
                                       g_strdup(s->block))) {
            send_rom(s->block);
        }
        QAPI_LIST_APPEND(tail, section_message(s));
    }
    trace_distkvm_memmap_tell(memmap.sections->len);
    replica_publish(message);
    if (current_cpu && distkvm_cpu_is_local(current_cpu)) {
        replica_wait_on_cpu(current_cpu);
    }
}

static void memmap_commit(MemoryListener *listener)
{
    if (memmap.announced && memmap.changed) {
        tell_memmap();
    }
}

void memmap_announce(void)
{
    memmap.sections = g_array_new(false, false, sizeof(MemmapSection));
    g_array_set_clear_func(memmap.sections, section_clear);
    memmap.roms_sent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                          NULL);
    memmap.listener = (MemoryListener) {
        .name = "distkvm-map",
        .begin = memmap_begin,
        .region_add = memmap_added,
        .region_del = memmap_deleted,
        .region_nop = memmap_section,
        .commit = memmap_commit,
    };
    memory_listener_register(&memmap.listener, &address_space_memory);
    memmap.announced = true;
    tell_memmap();
}

/* -------------------------------------------------- follower: applying it */

void memmap_add_devices(MemoryRegion *devices)
{
    memory_region_add_subregion_overlap(&memmap.container, 0, devices, -1);
}

/* The copy of ROM @block, made if it is new; NULL if there is no room. */
static MemoryRegion *rom_copy(const char *block, uint64_t size)
{
    MemoryRegion *mr = g_hash_table_lookup(memmap.roms, block);
    g_autofree char *name = g_strdup_printf("distkvm-rom-%s", block);
    Error *err = NULL;

    if (mr) {
        return mr;
    }
    mr = g_new0(MemoryRegion, 1);
    if (!memory_region_init_ram_nomigrate(mr, NULL, name, size, &err)) {
        error_report_err(err);
        g_free(mr);
        return NULL;
    }
    g_hash_table_insert(memmap.roms, g_strdup(block), mr);
    return mr;
}

static const char *serve_rom(CohNodeId from, const MemberMessage *message)
{
    const MemberRom *rom = &message->u.rom;
    g_autofree guchar *data = NULL;
    MemoryRegion *mr;
    gsize len;

    if (!rom->size || (rom->size <= ROM_BYTES_MAX &&
                       (!rom->data || !rom->has_offset))) {
        return "it sent a ROM without contents";
    }
    if (rom->size > ROM_BYTES_MAX) {
        g_autofree char *name = text_of_peer(rom->block);

        if (g_hash_table_add(memmap.roms_refused, g_strdup(rom->block))) {
            warn_report("distkvm: node 0's ROM '%s' has %" PRIu64 " MiB, more"
                        " than the %u MiB that this node takes a copy of: its"
                        " vCPUs cannot read it", name, rom->size >> 20,
                        ROM_BYTES_MAX >> 20);
        }
        return NULL;
    }
    data = g_base64_decode(rom->data, &len);
    mr = rom_copy(rom->block, rom->size);
    if (!mr) {
        return NULL;
    }
    if (rom->offset > memory_region_size(mr) ||
        len > memory_region_size(mr) - rom->offset) {
        return "it sent a part of a ROM beyond its end";
    }
    memcpy((uint8_t *)memory_region_get_ram_ptr(mr) + rom->offset, data, len);
    return NULL;
}

static MemoryRegion *section_target(const char *block, bool rom)
{
    RAMBlock *rb;

    if (rom) {
        return g_hash_table_lookup(memmap.roms, block);
    }
    rb = qemu_ram_block_by_name(block);
    return rb && distkvm_ram_is_coherent(rb->mr) ? rb->mr : NULL;
}

/* NULL, or the fault in it. */
static const char *apply_section(const MemberMapSection *s)
{
    MemoryRegion *target = section_target(s->block, s->rom);
    MemoryRegion *alias;

    if (s->rom && g_hash_table_contains(memmap.roms_refused, s->block)) {
        return NULL;
    }
    if (!target || s->offset > memory_region_size(target) ||
        s->size > memory_region_size(target) - s->offset) {
        g_autofree char *name = text_of_peer(s->block);

        if (!s->rom) {
            return "it maps RAM that this node does not have";
        }
        /* A device that came again may have another ROM by the same name. */
        warn_report("distkvm: node 0 maps '%s' at 0x%" PRIx64 ", which this"
                    " node does not have", name, s->addr);
        return NULL;
    }
    alias = g_new0(MemoryRegion, 1);
    memory_region_init_alias(alias, NULL, s->block, target, s->offset,
                             s->size);
    memory_region_set_readonly(alias, s->rom || s->readonly);
    memory_region_add_subregion(&memmap.container, s->addr, alias);
    g_ptr_array_add(memmap.regions, alias);
    return NULL;
}

static const char *apply(CohNodeId from, const MemberMessage *change)
{
    g_autoptr(GPtrArray) old = memmap.regions;
    const char *why = NULL;

    memory_region_transaction_begin();
    for (guint i = 0; i < old->len; i++) {
        memory_region_del_subregion(&memmap.container,
                                    g_ptr_array_index(old, i));
    }
    memmap.regions = g_ptr_array_new();
    for (const MemberMapSectionList *s = change->u.map.sections; s && !why;
         s = s->next) {
        why = apply_section(s->value);
    }
    memory_region_transaction_commit();
    /* Views refer to the target of an alias, never to the alias. */
    for (guint i = 0; i < old->len; i++) {
        object_unparent(OBJECT(g_ptr_array_index(old, i)));
        g_free(g_ptr_array_index(old, i));
    }
    return why;
}

static const ReplicaKind kind = {
    MESSAGE_MAP, offsetof(MemberMessage, u.map.seq), apply,
};

static const MemberService services[] = {
    { MESSAGE_ROM, MEMBER_BQL, serve_rom },
};

void memmap_init(void)
{
    replica_register(&kind);
    member_register(services, ARRAY_SIZE(services));
    if (distkvm_is_boot_node()) {
        return;
    }
    memory_region_init(&memmap.container, NULL, "distkvm-map", UINT64_MAX);
    memory_region_add_subregion_overlap(get_system_memory(), 0,
                                        &memmap.container, MEMMAP_PRIORITY);
    memmap.regions = g_ptr_array_new();
    memmap.roms = g_hash_table_new(g_str_hash, g_str_equal);
    memmap.roms_refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                             NULL);
}
