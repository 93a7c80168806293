/*
 * distkvm: do the windows of all bridges fit?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "room.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

/* Granules of a bridge's windows: PCI's of ports, firmware's of memory. */
#define IO_WINDOW (4 * KIB)
#define MEM_WINDOW (2 * MIB)
/* For devices that are plugged later, behind a bridge of pc. */
#define LATER_MEM (8 * MIB)
/* Firmware gives no BAR of memory less; a root port has one for its MSI-X. */
#define BAR_MIN (4 * KIB)

#define PANICS "stops with a panic"
#define LEAVES "leaves devices without addresses"

/*
 * pc has its ACPI hot-plug and power management at 0xa000 to 0xbfff; q35 has
 * them below 0x1000.  SeaBIOS wants the sum to be less than the room.  Versions
 * of OVMF differ in where memory of q35 begins and ends; this is the smaller
 * room.
 */
VPCI_TABLE_CONST VpciLimit
vpci_limits[VPCI_MACHINE__MAX][VPCI_FIRMWARE__MAX] = {
    [VPCI_PC] = {
        [VPCI_SEABIOS] = { "SeaBIOS", 0x9000 - 1, 0, 0xfec00000, PANICS },
        [VPCI_OVMF] = { "OVMF", 0x4000, 0, 0xfc000000, LEAVES },
    },
    [VPCI_Q35] = {
        [VPCI_SEABIOS] = { "SeaBIOS", 0xf000 - 1, 0xc0000000, 0xfec00000,
                           PANICS },
        [VPCI_OVMF] = { "OVMF", 0xa000, 0xc0000000, 0xfc000000, LEAVES },
    },
};

static const VpciLimit *limit_of(const VpciOptions *o)
{
    return &vpci_limits[o->machine][o->firmware];
}

static uint64_t round_up(uint64_t n, uint64_t granule)
{
    return (n + granule - 1) & ~(granule - 1);
}

/* ---------------------------------------------------------------- functions */

static void need_mem(VpciNeed *need, uint64_t size)
{
    size = MAX(size, BAR_MIN);
    need->mem += size;
    need->mem_align = MAX(need->mem_align, size);
}

static void need_pref(VpciNeed *need, uint64_t size, bool is_low)
{
    size = MAX(size, BAR_MIN);
    need->pref += size;
    need->pref_align = MAX(need->pref_align, size);
    need->pref_is_low |= is_low;
}

void vpci_need_add(VpciNeed *need, const VpciFunction *f)
{
    for (unsigned n = 0; n < VPCI_BARS; n++) {
        const VpciBar *bar = &f->bar[n];

        if (bar->size && bar->type & VPCI_BAR_IO) {
            need->io += bar->size;
        } else if (bar->size && bar->type & VPCI_BAR_PREFETCH) {
            need_pref(need, bar->size, !(bar->type & VPCI_BAR_MEM64));
        } else if (bar->size) {
            need_mem(need, bar->size);
        }
    }
    if (f->rom_bytes) {
        need_mem(need, f->rom_bytes);
    }
}

static void need_join(VpciNeed *need, const VpciNeed *more)
{
    need->io += more->io;
    need->mem += more->mem;
    need->mem_align = MAX(need->mem_align, more->mem_align);
    need->pref += more->pref;
    need->pref_align = MAX(need->pref_align, more->pref_align);
    need->pref_is_low |= more->pref_is_low;
}

/* ------------------------------------------------------------------ windows */

/* OVMF rounds a reservation to a power of two. */
static uint64_t reserved(const VpciOptions *o, uint64_t bytes)
{
    uint64_t power = 1;

    if (o->firmware != VPCI_OVMF || !bytes) {
        return bytes;
    }
    while (power < bytes) {
        power <<= 1;
    }
    return power;
}

/* Add the windows of one bridge or root port, for @need behind it. */
static void add_window(VpciRoom *room, const VpciOptions *o,
                       const VpciReserve *reserve, const VpciNeed *need)
{
    uint64_t io = MAX(need->io, reserved(o, reserve->io));
    uint64_t mem = MAX(need->mem, reserved(o, reserve->mem));
    uint64_t align = MAX(need->mem_align, MEM_WINDOW);

    room->io += round_up(io, IO_WINDOW);
    room->io_windows += io > 0;
    /* Firmware keeps the least window for a device that comes later. */
    if (o->machine == VPCI_Q35) {
        mem = MAX(mem, MEM_WINDOW);
        room->low.mem += BAR_MIN;
    }
    if (mem) {
        room->low.mem += round_up(mem, align);
        room->low.mem_align = MAX(room->low.mem_align, align);
    }
    if (need->pref_is_low) {
        uint64_t pref = MAX(need->pref, reserved(o, reserve->pref64));

        align = MAX(need->pref_align, MEM_WINDOW);
        room->low.pref += round_up(pref, align);
        room->low.pref_align = MAX(room->low.pref_align, align);
    }
}

VpciRoom vpci_room(const VpciOptions *o, const VpciNeed *needs)
{
    VpciRoom room = {
        .io = o->board.io,
        .low = { .mem = o->board.mem, .mem_align = BAR_MIN,
                 .pref_align = BAR_MIN },
    };

    for (unsigned n = 0; n < o->nodes; n++) {
        const VpciNodeOptions *node = &o->node[n];
        VpciNeed all = { 0 };

        for (unsigned slot = 1; slot <= node->slots; slot++) {
            const VpciNeed *need = &needs[n * VPCI_NEEDS_NODE + slot];

            if (o->machine == VPCI_Q35) {
                add_window(&room, o, &node->reserve, need);
            }
            need_join(&all, need);
        }
        if (o->machine == VPCI_PC && node->slots) {
            add_window(&room, o, &node->reserve, &all);
        }
    }
    return room;
}

uint64_t vpci_room_io_reserve(const VpciReserve *reserve, const VpciNeed *need)
{
    return round_up(MAX(need->io, reserve->io), IO_WINDOW);
}

/* ------------------------------------------------------------------- limits */

static char *check_io(const VpciOptions *o, const VpciRoom *room)
{
    const VpciLimit *limit = limit_of(o);
    uint64_t left = limit->io_max - MIN(o->board.io, limit->io_max);

    if (room->io <= limit->io_max) {
        return NULL;
    }
    return g_strdup_printf(
        "%u %s need a window of 4 KiB or more of I/O ports, %" PRIu64 " KiB in "
        "all, and %s has %" PRIu64 " KiB and %s: use devices without I/O BARs "
        "(NVMe, xhci, virtio with disable-legacy=on), put those that have some "
        "on fewer nodes%s, or reserve less", room->io_windows,
        o->machine == VPCI_Q35 ? "root ports" : "bridges of nodes",
        (room->io - o->board.io) / KIB, limit->firmware,
        left / IO_WINDOW * IO_WINDOW / KIB, limit->symptom,
        o->machine == VPCI_Q35 ? " and slots" : "");
}

/*
 * The lowest address, if the larger alignment goes first and both go down from
 * the end: SeaBIOS's pci_bios_init_root_regions_mem().  0: below 0.
 */
static uint64_t lowest(const VpciNeed *low, uint64_t end)
{
    bool mem_is_larger = low->mem_align >= low->pref_align;
    uint64_t upper = mem_is_larger ? low->pref : low->mem;
    uint64_t upper_align = mem_is_larger ? low->pref_align : low->mem_align;
    uint64_t lower = mem_is_larger ? low->mem : low->pref;
    uint64_t lower_align = mem_is_larger ? low->mem_align : low->pref_align;

    if (upper > end) {
        return 0;
    }
    end = (end - upper) & ~(upper_align - 1);
    if (lower > end) {
        return 0;
    }
    return (end - lower) & ~(lower_align - 1);
}

/* On pc memory begins at 2 GiB, 3 GiB, or behind RAM. */
static uint64_t first_address(const VpciOptions *o)
{
    uint64_t first = limit_of(o)->mem_first;

    if (first) {
        return first;
    }
    if (o->board.low_ram <= 2 * GIB) {
        return 2 * GIB;
    }
    if (o->firmware == VPCI_SEABIOS && o->board.low_ram <= 3 * GIB) {
        return 3 * GIB;
    }
    return o->board.low_ram;
}

static char *check_mem(const VpciOptions *o, const VpciRoom *room)
{
    const VpciLimit *limit = limit_of(o);
    uint64_t first = first_address(o);

    if (lowest(&room->low, limit->mem_end) >= first) {
        return NULL;
    }
    return g_strdup_printf(
        "PCI devices and root ports of all nodes need %" PRIu64 " MiB below 4 "
        "GiB, and %s has %" PRIu64 " MiB and %s: give nodes fewer slots (2 MiB "
        "each on q35), reserve less, or use devices whose large BARs are "
        "prefetchable and have 64 bits",
        (room->low.mem + room->low.pref + MIB - 1) / MIB, limit->firmware,
        (limit->mem_end - first) / MIB, limit->symptom);
}

char *vpci_room_check(const VpciOptions *options, const VpciNeed *needs)
{
    VpciRoom room = vpci_room(options, needs);
    char *why = check_io(options, &room);

    return why ?: check_mem(options, &room);
}

/* ------------------------------------------------------- for later devices */

/*
 * Windows of node 0's own bridges may be larger than the devices behind them:
 * nothing is kept at their expense.  Of memory alone, if @ports does not matter:
 * I/O ports that are short are no reason to keep no memory.
 */
static bool has_room(const VpciOptions *options, const VpciNeed *needs,
                     bool ports)
{
    VpciOptions careful = *options;
    g_autofree char *io = NULL, *mem = NULL;
    VpciRoom room;

    careful.board.io += (options->board.buses - 1) * IO_WINDOW;
    careful.board.mem += (options->board.buses - 1) * MEM_WINDOW;
    room = vpci_room(&careful, needs);
    mem = check_mem(&careful, &room);
    io = ports ? check_io(&careful, &room) : NULL;
    return !io && !mem;
}

/* Memory of the node's devices of the start: a reservation is with it. */
static uint64_t memory_of(const VpciOptions *o, const VpciNeed *needs,
                          unsigned node)
{
    uint64_t mem = 0;

    for (unsigned slot = 1; slot <= o->node[node].slots; slot++) {
        mem += needs[node * VPCI_NEEDS_NODE + slot].mem;
    }
    return round_up(mem, MEM_WINDOW);
}

static void reserve_all(VpciOptions *o, const VpciNeed *needs, uint32_t io,
                        uint32_t mem)
{
    for (unsigned n = 0; n < o->nodes; n++) {
        bool any = o->node[n].slots;

        o->node[n].reserve = (VpciReserve) {
            .io = any ? io : 0,
            .mem = any && mem ? memory_of(o, needs, n) + mem : 0,
        };
    }
}

void vpci_room_reserve(VpciOptions *o, const VpciNeed *needs)
{
    reserve_all(o, needs, 0, 0);
    /* q35: firmware reserves for each root port by itself. */
    if (o->machine != VPCI_PC || o->firmware != VPCI_SEABIOS ||
        !has_room(o, needs, false)) {
        return;
    }
    reserve_all(o, needs, IO_WINDOW, LATER_MEM);
    if (!has_room(o, needs, true)) {
        reserve_all(o, needs, 0, LATER_MEM);
    }
    if (!has_room(o, needs, false)) {
        reserve_all(o, needs, 0, 0);
    }
}

static bool reserves_memory(const VpciOptions *o)
{
    bool any = false;

    for (unsigned n = 0; n < o->nodes; n++) {
        any |= o->node[n].reserve.mem > 0;
    }
    return any;
}

const char *vpci_room_hotplug(const VpciOptions *o)
{
    if (o->machine != VPCI_PC || reserves_memory(o)) {
        return NULL;
    }
    /* Its driver of PCI buses asks for reservations of hot-plug ports only. */
    return o->firmware == VPCI_OVMF
           ? "OVMF keeps no addresses behind a bridge without SHPC, so devices "
             "that are plugged later get none: use q35, or SeaBIOS"
           : "RAM leaves no addresses below 4 GiB for devices that are plugged "
             "later: use q35, or -machine max-ram-below-4g=";
}
