/*
 * Windows of bridges: how many bytes firmware must find, and what is said when
 * it can't
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/room.h"
#include "vpci-check.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

typedef struct World {
    VpciOptions options;
    VpciNeed need[VPCI_NEEDS];
} World;

static World *world_new(VpciMachine machine, VpciFirmware firmware,
                        unsigned nodes, unsigned slots)
{
    World *w = g_new0(World, 1);

    w->options = (VpciOptions) {
        .machine = machine, .firmware = firmware, .nodes = nodes,
        .board = { .buses = 1, .low_ram = 2 * GIB },
    };
    for (unsigned n = 0; n < nodes; n++) {
        w->options.node[n].slots = slots;
    }
    return w;
}

static VpciNeed *need(World *w, unsigned node, unsigned slot)
{
    return &w->need[node * VPCI_NEEDS_NODE + slot];
}

/* The reason; "": there is room. */
static char *said(const World *w)
{
    return vpci_room_check(&w->options, w->need) ?: g_strdup("");
}

/* ---------------------------------------------------------------- functions */

static void test_need(void)
{
    VpciNeed n = { 0 };
    VpciFunction f;

    vpci_sample(&f);
    vpci_need_add(&n, &f);
    g_assert_cmpint(n.io, ==, 256);
    /* 16 KiB of 64 bits are not prefetchable, and so behind a bridge below. */
    g_assert_cmpint(n.mem, ==, (16 + 4 + 64) * KIB);
    g_assert_cmpint(n.mem_align, ==, 64 * KIB);
    g_assert_cmpint(n.pref, ==, MIB);
    g_assert_cmpint(n.pref_align, ==, MIB);
    g_assert_false(n.pref_is_low);

    f = (VpciFunction) { .bar = {
        { 16, VPCI_BAR_MEM32 }, { 8 * MIB, VPCI_BAR_MEM32 | VPCI_BAR_PREFETCH },
        { 4, VPCI_BAR_IO }, { 32, VPCI_BAR_MEM64 | VPCI_BAR_PREFETCH },
    } };
    vpci_need_add(&n, &f);
    g_assert_cmpint(n.io, ==, 260);
    g_assert_cmpint(n.mem, ==, (16 + 4 + 64 + 4) * KIB);
    g_assert_cmpint(n.mem_align, ==, 64 * KIB);
    g_assert_cmpint(n.pref, ==, 9 * MIB + 4 * KIB);
    g_assert_cmpint(n.pref_align, ==, 8 * MIB);
    g_assert_true(n.pref_is_low);
}

/* -------------------------------------------------------------------- ports */

/* As vpci-cluster's design has it: how many bridges can have ports. */
static const struct {
    VpciMachine machine;
    VpciFirmware firmware;
    unsigned board_io;          /* bytes */
    unsigned fit;               /* windows of 4 KiB */
} ports[] = {
    { VPCI_PC, VPCI_SEABIOS, 0, 8 },
    { VPCI_PC, VPCI_SEABIOS, 0xfff, 8 },
    { VPCI_PC, VPCI_SEABIOS, 0x1000, 7 },
    { VPCI_PC, VPCI_OVMF, 0, 4 },
    { VPCI_PC, VPCI_OVMF, 16, 3 },
    { VPCI_PC, VPCI_OVMF, 0x1000, 3 },
    { VPCI_PC, VPCI_OVMF, 0x1001, 2 },
    { VPCI_Q35, VPCI_SEABIOS, 0, 14 },
    { VPCI_Q35, VPCI_SEABIOS, 0xfff, 14 },
    { VPCI_Q35, VPCI_OVMF, 0, 10 },
    { VPCI_Q35, VPCI_OVMF, 64, 9 },
    { VPCI_Q35, VPCI_OVMF, 0x1000, 9 },
    { VPCI_Q35, VPCI_OVMF, 0x1001, 8 },
};

static void test_ports(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ports); i++) {
        /* On pc the slots of a node share one window. */
        bool is_pc = ports[i].machine == VPCI_PC;

        for (unsigned n = 0; n < 20; n++) {
            g_autofree World *w = world_new(ports[i].machine,
                                            ports[i].firmware, 20, 2);
            g_autofree char *why = NULL;

            w->options.board.io = ports[i].board_io;
            for (unsigned k = 0; k < n; k++) {
                need(w, k, 2)->io = is_pc ? 2048 : 1;
                need(w, k, 1)->io = is_pc ? 2048 : 0;
            }
            why = said(w);
            g_assert_cmpint(!*why, ==, n <= ports[i].fit);
            g_assert_cmpint(vpci_room(&w->options, w->need).io_windows, ==, n);
        }
    }
}

static void test_ports_by_size(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 2, 31);
    VpciRoom room;

    need(w, 1, 5)->io = 4096;
    need(w, 1, 31)->io = 1;
    /* Slots that the node doesn't have, and a node that isn't there. */
    w->options.node[0].slots = 30;
    need(w, 0, 31)->io = 4096;
    need(w, 0, 0)->io = 4096;
    w->options.node[2].slots = 1;
    need(w, 2, 1)->io = 4096;
    room = vpci_room(&w->options, w->need);
    g_assert_cmpint(room.io, ==, 8192);
    g_assert_cmpint(room.io_windows, ==, 1);
    /* Kept for later, for a bridge; for each port. */
    w->options.node[0].reserve.io = 5000;
    room = vpci_room(&w->options, w->need);
    g_assert_cmpint(room.io, ==, 16384);
    w->options.machine = VPCI_Q35;
    w->options.node[0].slots = 3;
    room = vpci_room(&w->options, w->need);
    g_assert_cmpint(room.io_windows, ==, 5);
    g_assert_cmpint(room.io, ==, 3 * 8192 + 2 * 4096);
    /* OVMF rounds to a power of two. */
    w->options.node[0].reserve.io = 0x2001;
    g_assert_cmpint(vpci_room(&w->options, w->need).io, ==,
                    3 * 0x3000 + 2 * 4096);
    w->options.firmware = VPCI_OVMF;
    g_assert_cmpint(vpci_room(&w->options, w->need).io, ==,
                    3 * 0x4000 + 2 * 4096);
    w->options.node[0].reserve.io = 0x2000;
    g_assert_cmpint(vpci_room(&w->options, w->need).io, ==,
                    3 * 0x2000 + 2 * 4096);
}

static void test_io_reserve(void)
{
    static const struct {
        uint64_t need;
        uint32_t reserve;
        uint64_t wanted;
    } rows[] = {
        { 0, 0, 0 }, { 1, 0, 4096 }, { 4096, 0, 4096 }, { 4097, 0, 8192 },
        { 0, 1, 4096 }, { 64, 5000, 8192 }, { 9000, 5000, 12288 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        VpciReserve reserve = { .io = rows[i].reserve };
        VpciNeed n = { .io = rows[i].need };

        g_assert_cmpint(vpci_room_io_reserve(&reserve, &n), ==,
                        rows[i].wanted);
    }
}

/* ------------------------------------------------------------------- memory */

static void test_windows(void)
{
    g_autofree World *w = world_new(VPCI_Q35, VPCI_SEABIOS, 2, 2);
    VpciRoom room = vpci_room(&w->options, w->need);

    /* 2 MiB for each port, and its own MSI-X. */
    g_assert_cmpint(room.low.mem, ==, 4 * (2 * MIB + 4 * KIB));
    g_assert_cmpint(room.low.mem_align, ==, 2 * MIB);
    g_assert_cmpint(room.low.pref, ==, 0);
    *need(w, 1, 1) = (VpciNeed) { .mem = 5 * MIB, .mem_align = 4 * MIB };
    *need(w, 1, 2) = (VpciNeed) { .mem = 3 * MIB, .mem_align = MIB };
    room = vpci_room(&w->options, w->need);
    g_assert_cmpint(room.low.mem, ==, 4 * 4 * KIB + (2 * 2 + 8 + 4) * MIB);
    g_assert_cmpint(room.low.mem_align, ==, 4 * MIB);
    /* Prefetchable memory counts if some of it has 32 bits. */
    *need(w, 0, 1) = (VpciNeed) { .pref = 17 * MIB, .pref_align = 16 * MIB };
    g_assert_cmpint(vpci_room(&w->options, w->need).low.pref, ==, 0);
    need(w, 0, 1)->pref_is_low = true;
    room = vpci_room(&w->options, w->need);
    g_assert_cmpint(room.low.pref, ==, 32 * MIB);
    g_assert_cmpint(room.low.pref_align, ==, 16 * MIB);
    w->options.node[0].reserve.pref64 = 33 * MIB;
    g_assert_cmpint(vpci_room(&w->options, w->need).low.pref, ==, 48 * MIB);
    /* Kept for later, for each of the node's two ports. */
    w->options.node[0].reserve = (VpciReserve) { .mem = 5 * MIB };
    g_assert_cmpint(vpci_room(&w->options, w->need).low.mem, ==,
                    4 * 4 * KIB + (2 * 6 + 8 + 4) * MIB);
    w->options.firmware = VPCI_OVMF;
    g_assert_cmpint(vpci_room(&w->options, w->need).low.mem, ==,
                    4 * 4 * KIB + (2 * 8 + 8 + 4) * MIB);
    w->options.board.mem = 64 * KIB;
    g_assert_cmpint(vpci_room(&w->options, w->need).low.mem, ==,
                    64 * KIB + 4 * 4 * KIB + (2 * 8 + 8 + 4) * MIB);
}

/* On pc a node without memory has no window; its slots share one. */
static void test_pc_windows(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 3, 31);

    g_assert_cmpint(vpci_room(&w->options, w->need).low.mem, ==, 0);
    *need(w, 1, 1) = (VpciNeed) { .mem = MIB, .mem_align = MIB };
    *need(w, 1, 2) = (VpciNeed) { .mem = MIB, .mem_align = MIB };
    *need(w, 2, 3) = (VpciNeed) { .mem = 4 * KIB, .mem_align = 4 * KIB };
    g_assert_cmpint(vpci_room(&w->options, w->need).low.mem, ==, 4 * MIB);
    g_assert_cmpint(vpci_room(&w->options, w->need).io, ==, 0);
}

/* The greatest alignment of all slots is the window's, in any order. */
static void test_pc_alignment(void)
{
    static const VpciNeed large = {
        .mem = 8 * MIB, .mem_align = 8 * MIB, .pref = 16 * MIB,
        .pref_align = 16 * MIB,
    };
    static const VpciNeed small = {
        .mem = MIB, .mem_align = MIB, .pref = MIB, .pref_align = MIB,
        .pref_is_low = true,
    };

    for (unsigned slot = 1; slot <= 2; slot++) {
        g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 1, 2);
        VpciRoom room;

        *need(w, 0, slot) = large;
        *need(w, 0, 3 - slot) = small;
        room = vpci_room(&w->options, w->need);
        g_assert_cmpint(room.low.mem, ==, 16 * MIB);
        g_assert_cmpint(room.low.mem_align, ==, 8 * MIB);
        g_assert_cmpint(room.low.pref, ==, 32 * MIB);
        g_assert_cmpint(room.low.pref_align, ==, 16 * MIB);
    }
}

/* The most MiB in one window of 2 MiB alignment that fit. */
static const struct {
    VpciMachine machine;
    VpciFirmware firmware;
    uint64_t low_ram;
    unsigned fit;               /* MiB */
} memory[] = {
    { VPCI_PC, VPCI_SEABIOS, 2 * GIB, 0x7ec },
    { VPCI_PC, VPCI_SEABIOS, 2 * GIB + 1, 0x3ec },
    { VPCI_PC, VPCI_SEABIOS, 3 * GIB, 0x3ec },
    { VPCI_PC, VPCI_SEABIOS, 0xe0000000, 0x1ec },
    { VPCI_PC, VPCI_OVMF, 64 * MIB, 0x7c0 },
    { VPCI_PC, VPCI_OVMF, 3 * GIB - 2 * MIB, 0x3c2 },
    { VPCI_Q35, VPCI_SEABIOS, 2 * GIB, 0x3ec },
    { VPCI_Q35, VPCI_OVMF, 2 * GIB, 0x3c0 },
};

static void test_memory(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(memory); i++) {
        for (int more = 0; more <= 2; more += 2) {
            g_autofree World *w = world_new(memory[i].machine,
                                            memory[i].firmware, 2, 1);
            g_autofree char *why = NULL;
            /* On q35 node 0's port has 2 MiB, and 2 for both ports' MSI-X. */
            unsigned rest = memory[i].machine == VPCI_Q35 ? 4 : 0;

            w->options.board.low_ram = memory[i].low_ram;
            *need(w, 1, 1) = (VpciNeed) {
                .mem = (memory[i].fit - rest + more) * MIB,
                .mem_align = 2 * MIB,
            };
            why = said(w);
            g_assert_cmpint(!*why, ==, !more);
        }
    }
}

/* The larger alignment goes first, and may lose memory above it. */
static void test_alignment(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 1, 1);
    VpciNeed *n = need(w, 0, 1);
    g_autofree char *why = NULL, *of_pref = NULL, *huge = NULL, *both = NULL;

    *n = (VpciNeed) { .mem = GIB, .mem_align = GIB };
    why = said(w);
    g_assert_cmpstr(why, ==, "");
    /* 2 GiB are there less 20 MiB; the last GiB of them is not whole. */
    n->mem = 2 * GIB;
    g_free(g_steal_pointer(&why));
    why = said(w);
    g_assert_nonnull(strstr(why, "need 2048 MiB below 4 GiB, and SeaBIOS has "
                            "2028 MiB and stops with a panic: give nodes "
                            "fewer "));
    *n = (VpciNeed) {
        .mem = GIB - 24 * MIB, .mem_align = 2 * MIB, .pref = GIB,
        .pref_align = GIB, .pref_is_low = true,
    };
    of_pref = said(w);
    g_assert_cmpstr(of_pref, ==, "");
    n->mem += 6 * MIB;
    both = said(w);
    g_assert_cmpstr(both, !=, "");
    /* More than there are addresses. */
    n->mem = UINT64_C(1) << 40;
    huge = said(w);
    g_assert_nonnull(strstr(huge, "prefetchable and have 64 bits"));
}

static void test_huge_pref(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 1, 1);
    g_autofree char *why = NULL;

    *need(w, 0, 1) = (VpciNeed) {
        .pref = UINT64_C(1) << 33, .pref_align = 1 << 20, .pref_is_low = true,
        .mem = 4 << 20, .mem_align = 4 << 20,
    };
    why = said(w);
    g_assert_cmpstr(why, !=, "");
}

/* -------------------------------------------------------------------- words */

static void test_words(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 16, 1);
    g_autofree char *pc = NULL, *q35 = NULL;

    for (unsigned n = 0; n < 16; n++) {
        need(w, n, 1)->io = 64;
    }
    pc = said(w);
    g_assert_cmpstr(pc, ==, "16 bridges of nodes need a window of 4 KiB or "
                    "more of I/O ports, 64 KiB in all, and SeaBIOS has 32 KiB "
                    "and stops with a panic: use devices without I/O BARs "
                    "(NVMe, xhci, virtio with disable-legacy=on), put those "
                    "that have some on fewer nodes, or reserve less");
    w->options.machine = VPCI_Q35;
    w->options.firmware = VPCI_OVMF;
    w->options.board.io = 64;
    q35 = said(w);
    g_assert_nonnull(strstr(q35, "16 root ports need"));
    g_assert_nonnull(strstr(q35, "OVMF has 36 KiB and leaves devices without "
                            "addresses"));
    g_assert_nonnull(strstr(q35, "on fewer nodes and slots"));
}

/* ------------------------------------------------------- for later devices */

static bool is_reserved(World *w)
{
    vpci_room_reserve(&w->options, w->need);
    return !vpci_room_hotplug(&w->options);
}

/* Only SeaBIOS on pc is to be told; q35's ports have theirs by themselves. */
static void test_hotplug(void)
{
    for (unsigned m = 0; m < VPCI_MACHINE__MAX; m++) {
        for (unsigned f = 0; f < VPCI_FIRMWARE__MAX; f++) {
            g_autofree World *w = world_new(m, f, 2, 31);
            const VpciReserve *kept = &w->options.node[1].reserve;
            bool is_told = m == VPCI_PC && f == VPCI_SEABIOS;

            w->options.node[0].slots = 0;
            need(w, 1, 7)->mem = 5 * MIB;
            need(w, 1, 31)->mem = 2 * MIB;
            need(w, 1, 0)->mem = GIB;
            g_assert_cmpint(is_reserved(w), ==, m == VPCI_Q35 || is_told);
            g_assert_cmpint(kept->mem, ==, is_told ? (8 + 8) * MIB : 0);
            g_assert_cmpint(kept->io, ==, is_told ? 4 * KIB : 0);
            g_assert_cmpint(w->options.node[0].reserve.mem, ==, 0);
            g_assert_cmpint(w->options.node[0].reserve.io, ==, 0);
            g_assert_cmpstr(vpci_room_check(&w->options, w->need), ==, NULL);
        }
    }
}

/* Addresses that are kept for later never end a start. */
static void test_reserve_as_far(void)
{
    for (unsigned n = 1; n <= 12; n++) {
        g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, n, 31);
        bool has_memory;

        g_assert_true(is_reserved(w));
        g_assert_cmpint(w->options.node[0].reserve.io, ==,
                        n <= 8 ? 4 * KIB : 0);
        w->options.board.buses = 4;
        g_assert_true(is_reserved(w));
        g_assert_cmpint(w->options.node[0].reserve.io, ==,
                        n <= 5 ? 4 * KIB : 0);
        w->options.board.buses = 1;
        /* The last bytes below 4 GiB: of 10 nodes with 8 MiB each, or none. */
        w->options.board.low_ram = 0xfec00000 - 80 * MIB;
        has_memory = is_reserved(w);
        g_assert_cmpint(has_memory, ==, n <= 10);
        g_assert_cmpstr(vpci_room_check(&w->options, w->need), ==, NULL);
        /* Ports are short: that is no reason to keep no memory. */
        need(w, 0, 1)->io = 64 * KIB;
        g_assert_cmpint(is_reserved(w), ==, has_memory);
        g_assert_cmpint(w->options.node[0].reserve.io, ==, 0);
    }
}

/* Ports for the start, and none for later: memory is kept all the same. */
static void test_ports_short(void)
{
    g_autofree World *w = world_new(VPCI_PC, VPCI_SEABIOS, 8, 31);

    for (unsigned n = 0; n < 8; n++) {
        need(w, n, 1)->io = 32;
    }
    w->options.board.buses = 2;
    w->options.board.low_ram = 2 * GIB;
    g_assert_true(is_reserved(w));
    g_assert_cmpint(w->options.node[7].reserve.io, ==, 0);
    g_assert_cmpint(w->options.node[7].reserve.mem, ==, 8 * MIB);
    g_assert_cmpstr(vpci_room_check(&w->options, w->need), ==, NULL);
}

const VpciCheck vpci_room_checks[] = {
    { "/vpci-room/need", test_need },
    { "/vpci-room/ports", test_ports },
    { "/vpci-room/ports-by-size", test_ports_by_size },
    { "/vpci-room/io-reserve", test_io_reserve },
    { "/vpci-room/windows", test_windows },
    { "/vpci-room/pc-windows", test_pc_windows },
    { "/vpci-room/pc-alignment", test_pc_alignment },
    { "/vpci-room/memory", test_memory },
    { "/vpci-room/alignment", test_alignment },
    { "/vpci-room/huge-pref", test_huge_pref },
    { "/vpci-room/words", test_words },
    { "/vpci-room/hotplug", test_hotplug },
    { "/vpci-room/reserve-as-far", test_reserve_as_far },
    { "/vpci-room/ports-short", test_ports_short },
    { NULL },
};

VPCI_CHECK_MAIN(vpci_room_checks)
