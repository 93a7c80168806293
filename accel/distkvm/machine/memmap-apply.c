/*
 * distkvm: the boot node's memory map, on followers
 *
 * RAM of node 0's map is an alias of the coherent RAM here, ROM a copy of the
 * contents.  Devices of this node are an alias of its own space; another node's
 * are a part of the forwarder to that node (io.c), and where the map says
 * nothing, that is node 0.  BQL held everywhere.
 * Spec: docs/architecture.rst, "Memory map".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "qemu/error-report.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/text.h"
#include "io.h"
#include "memmap.h"
#include "memmap-apply.h"
#include "replica.h"

/* Above a follower's own devices, below its local APIC (0x1000). */
#define MEMMAP_PRIORITY 0x800

/* An address space of the guest. */
typedef struct Space {
    MemoryRegion container;
    MemoryRegion own;           /* this node's devices; not in the container */
    /* address of a section -> MemoryRegion in the container, or NULL */
    GHashTable *sections;
} Space;

static struct {
    Space space[WIRE_SPACE__MAX];
    GHashTable *roms;           /* block name -> MemoryRegion */
    GHashTable *roms_refused;   /* set of block names */
} memmap;

QEMU_BUILD_BUG_ON((int)MEMBER_SPACE_MEMORY != WIRE_SPACE_MEMORY);
QEMU_BUILD_BUG_ON((int)MEMBER_SPACE_PORTS != WIRE_SPACE_PORTS);
QEMU_BUILD_BUG_ON((int)MEMBER_SPACE__MAX != WIRE_SPACE__MAX);

MemoryRegion *memmap_own_space(WireSpace space)
{
    if (distkvm_is_boot_node()) {
        return space == WIRE_SPACE_PORTS ? get_system_io()
                                         : get_system_memory();
    }
    return &memmap.space[space].own;
}

/* ----------------------------------------------------------------- ROMs */

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

    if (!rom->size || (rom->size <= MEMMAP_ROM_BYTES_MAX &&
                       (!rom->data || !rom->has_offset))) {
        return "it sent a ROM without contents";
    }
    if (rom->size > MEMMAP_ROM_BYTES_MAX) {
        g_autofree char *name = text_of_peer(rom->block);

        if (g_hash_table_add(memmap.roms_refused, g_strdup(rom->block))) {
            warn_report("distkvm: node 0's ROM '%s' has %" PRIu64 " MiB, more"
                        " than the %u MiB that this node takes a copy of: its"
                        " vCPUs cannot read it", name, rom->size >> 20,
                        MEMMAP_ROM_BYTES_MAX >> 20);
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

/* ------------------------------------------------------------- sections */

static MemoryRegion *section_target(const char *block, bool rom)
{
    RAMBlock *rb;

    if (rom) {
        return g_hash_table_lookup(memmap.roms, block);
    }
    rb = qemu_ram_block_by_name(block);
    return rb && distkvm_ram_is_coherent(rb->mr) ? rb->mr : NULL;
}

/*
 * NULL, or the fault in it; *@target is what @s shows, or NULL if this node
 * cannot have it.
 */
static const char *find_ram(const MemberMapSection *s, MemoryRegion **target)
{
    *target = NULL;
    if (s->rom && g_hash_table_contains(memmap.roms_refused, s->block)) {
        return NULL;
    }
    *target = section_target(s->block, s->rom);
    if (!*target || s->offset > memory_region_size(*target) ||
        s->size > memory_region_size(*target) - s->offset) {
        g_autofree char *name = text_of_peer(s->block);

        *target = NULL;
        if (!s->rom) {
            return "it maps RAM that this node does not have";
        }
        /* A device that came again may have another ROM by the same name. */
        warn_report("distkvm: node 0 maps '%s' at 0x%" PRIx64 ", which this"
                    " node does not have", name, s->addr);
    }
    return NULL;
}

/* A device's addresses are the same everywhere. */
static MemoryRegion *device_target(WireSpace space, CohNodeId owner)
{
    return owner == distkvm->id ? &memmap.space[space].own
                                : io_forwarder(owner, space);
}

static const char *check_section(WireSpace space, const MemberMapSection *s)
{
    uint64_t bytes = io_space_bytes(space);

    if (!s->size || s->addr > bytes || s->size > bytes - s->addr) {
        return "it maps addresses that there are not";
    }
    if (s->owner >= distkvm->nodes) {
        return "it maps a device of a node that there is not";
    }
    if (s->block && space != WIRE_SPACE_MEMORY) {
        return "it maps RAM among the I/O ports";
    }
    return g_hash_table_contains(memmap.space[space].sections, &s->addr)
           ? "it maps an address twice" : NULL;
}

/* NULL, or the fault in it. */
static const char *add_section(WireSpace space, const MemberMapSection *s)
{
    const char *why = check_section(space, s);
    MemoryRegion *target, *alias = NULL;

    if (!why && s->block) {
        why = find_ram(s, &target);
    } else if (!why) {
        target = device_target(space, s->owner);
    }
    if (why) {
        return why;
    }
    if (target) {
        alias = g_new0(MemoryRegion, 1);
        memory_region_init_alias(alias, NULL, s->block ?: "distkvm-device",
                                 target, s->block ? s->offset : s->addr,
                                 s->size);
        memory_region_set_readonly(alias, s->rom || s->readonly);
        memory_region_add_subregion(&memmap.space[space].container, s->addr,
                                    alias);
    }
    g_hash_table_insert(memmap.space[space].sections,
                        g_memdup2(&s->addr, sizeof(s->addr)), alias);
    return NULL;
}

/* NULL, or the fault in it; the section's region goes to @old. */
static const char *remove_section(Space *space, uint64_t addr, GPtrArray *old)
{
    gpointer alias;

    if (!g_hash_table_lookup_extended(space->sections, &addr, NULL, &alias)) {
        return "it removes a section of the map that there is not";
    }
    g_hash_table_remove(space->sections, &addr);
    if (alias) {
        memory_region_del_subregion(&space->container, alias);
        g_ptr_array_add(old, alias);
    }
    return NULL;
}

static const char *apply(CohNodeId from, const MemberMessage *change)
{
    g_autoptr(GPtrArray) old = g_ptr_array_new();
    WireSpace space = (WireSpace)change->u.map.space;
    const uint64List *r;
    const char *why = NULL;

    memory_region_transaction_begin();
    for (r = change->u.map.removed; r && !why; r = r->next) {
        why = remove_section(&memmap.space[space], r->value, old);
    }
    for (const MemberMapSectionList *s = change->u.map.added; s && !why;
         s = s->next) {
        why = add_section(space, s->value);
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

static void cover(WireSpace space, MemoryRegion *by_default, int priority)
{
    Space *s = &memmap.space[space];

    memory_region_init(&s->own, NULL, "distkvm-own", io_space_bytes(space));
    memory_region_init(&s->container, NULL, "distkvm-map",
                       io_space_bytes(space));
    /*
     * Where nothing else is mapped, node 0 answers: a follower's own chipset
     * stays in place, out of reach.
     */
    memory_region_add_subregion_overlap(&s->container, 0,
                                        io_forwarder(0, space), -1);
    memory_region_add_subregion_overlap(by_default, 0, &s->container,
                                        priority);
    s->sections = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
}

void memmap_init(void)
{
    replica_register(&kind);
    member_register(services, ARRAY_SIZE(services));
    if (distkvm_is_boot_node()) {
        return;
    }
    cover(WIRE_SPACE_MEMORY, get_system_memory(), MEMMAP_PRIORITY);
    cover(WIRE_SPACE_PORTS, get_system_io(), INT32_MAX);
    memmap.roms = g_hash_table_new(g_str_hash, g_str_equal);
    memmap.roms_refused = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                g_free, NULL);
}
