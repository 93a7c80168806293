/*
 * distkvm: the boot node's memory map, on followers
 *
 * RAM of node 0's map is an alias of the coherent RAM here, ROM a copy of the
 * contents, and all the rest goes to the device's node (io.c).  BQL held
 * everywhere.  Spec: docs/architecture.rst, "Memory map".
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
#include "memmap.h"
#include "replica.h"

/* Above a follower's own devices, below its local APIC (0x1000). */
#define MEMMAP_PRIORITY 0x800

static struct {
    MemoryRegion container;
    /* address of a section -> MemoryRegion in the container, or NULL */
    GHashTable *sections;
    GHashTable *roms;           /* block name -> MemoryRegion */
    GHashTable *roms_refused;   /* set of block names */
} memmap;

void memmap_add_devices(MemoryRegion *devices)
{
    memory_region_add_subregion_overlap(&memmap.container, 0, devices, -1);
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
 * NULL, or the fault in it; @alias is its region, or NULL if this node cannot
 * have it.
 */
static const char *make_alias(const MemberMapSection *s, MemoryRegion **alias)
{
    MemoryRegion *target = section_target(s->block, s->rom);

    *alias = NULL;
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
    *alias = g_new0(MemoryRegion, 1);
    memory_region_init_alias(*alias, NULL, s->block, target, s->offset,
                             s->size);
    memory_region_set_readonly(*alias, s->rom || s->readonly);
    return NULL;
}

/* NULL, or the fault in it. */
static const char *add_section(const MemberMapSection *s)
{
    MemoryRegion *alias;
    const char *why;

    if (g_hash_table_contains(memmap.sections, &s->addr)) {
        return "it maps an address twice";
    }
    why = make_alias(s, &alias);
    if (!why) {
        g_hash_table_insert(memmap.sections,
                            g_memdup2(&s->addr, sizeof(s->addr)), alias);
        if (alias) {
            memory_region_add_subregion(&memmap.container, s->addr, alias);
        }
    }
    return why;
}

/* NULL, or the fault in it; the section's region goes to @old. */
static const char *remove_section(uint64_t addr, GPtrArray *old)
{
    gpointer alias;

    if (!g_hash_table_lookup_extended(memmap.sections, &addr, NULL, &alias)) {
        return "it removes a section of the map that there is not";
    }
    g_hash_table_remove(memmap.sections, &addr);
    if (alias) {
        memory_region_del_subregion(&memmap.container, alias);
        g_ptr_array_add(old, alias);
    }
    return NULL;
}

static const char *apply(CohNodeId from, const MemberMessage *change)
{
    g_autoptr(GPtrArray) old = g_ptr_array_new();
    const uint64List *r;
    const char *why = NULL;

    memory_region_transaction_begin();
    for (r = change->u.map.removed; r && !why; r = r->next) {
        why = remove_section(r->value, old);
    }
    for (const MemberMapSectionList *s = change->u.map.added; s && !why;
         s = s->next) {
        why = add_section(s->value);
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
    memmap.sections = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                            g_free, NULL);
    memmap.roms = g_hash_table_new(g_str_hash, g_str_equal);
    memmap.roms_refused = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                g_free, NULL);
}
