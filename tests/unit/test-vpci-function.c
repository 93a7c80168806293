/*
 * Descriptions of functions: as bytes and back, and which are refused
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/function-pack.h"
#include "vpci-check.h"

#define SLOTS 8

typedef void Change(VpciFunction *f);

/* A function that changes @f by the statement. */
#define CHANGE(name, statement) \
    static void name(VpciFunction *f) { statement; }

/* ----------------------------------------------------------------- as bytes */

static void check_round_trip(const VpciFunction *f)
{
    g_autofree uint8_t *bytes = g_malloc(VPCI_FUNCTION_BYTES_MAX);
    size_t len = vpci_function_pack(f, bytes);
    VpciFunction got;

    g_assert_cmpint(len, <=, VPCI_FUNCTION_BYTES_MAX);
    g_assert_null(vpci_function_unpack(&got, bytes, len));
    g_assert_null(vpci_function_difference(f, &got));
    /* Bytes behind a conventional function's space are zero. */
    g_assert_cmpmem(f->config, sizeof(f->config), got.config,
                    sizeof(got.config));
}

static void fill_text(char *text, size_t max)
{
    memset(text, 'x', max);
    text[0] = '/';
    text[max] = 0;
}

static void test_round_trip(void)
{
    VpciFunction f, least = { .generation = UINT64_MAX };

    vpci_sample(&f);
    check_round_trip(&f);
    check_round_trip(&least);
    /* The longest one. */
    fill_text(f.id, VPCI_ID_MAX);
    f.boots = VPCI_BOOTS_MAX;
    for (unsigned i = 0; i < VPCI_BOOTS_MAX; i++) {
        f.boot[i].index = INT32_MAX - VPCI_BOOTS_MAX + i;
        fill_text(f.boot[i].suffix, VPCI_BOOT_SUFFIX_MAX);
    }
    f.rom_bytes = VPCI_ROM_BYTES_MAX;
    memset(f.config, 0xa5, sizeof(f.config));
    check_round_trip(&f);
    g_assert_cmpint(
        vpci_function_pack(&f, g_alloca(VPCI_FUNCTION_BYTES_MAX)), ==,
        VPCI_FUNCTION_BYTES_MAX);
}

/* No description is the beginning of another, or goes on behind its end. */
static void test_cut_off(void)
{
    uint8_t bytes[VPCI_FUNCTION_BYTES_MAX + 1] = { 0 };
    VpciFunction f, got;
    size_t len;

    vpci_sample(&f);
    len = vpci_function_pack(&f, bytes);
    for (size_t n = 0; n < len; n++) {
        g_autofree uint8_t *exact = g_memdup2(bytes, n);

        g_assert_cmpstr(vpci_function_unpack(&got, exact, n), ==,
                        "that is cut off");
    }
    g_assert_cmpstr(vpci_function_unpack(&got, bytes, len + 1), ==,
                    "with bytes behind its end");
}

/* The bytes themselves: another version must not read them differently. */
static void test_layout(void)
{
    static const uint8_t wanted[] = {
        8, 7, 6, 5, 4, 3, 2, 1, 0x0a, 1, 0, 0x40, 0x50, 0x00, 0x08, 0, 0,
        0x00, 0x10, 0, 0, 0, 0, 0, 0, 4,
    };
    static const uint8_t names[] = {
        2, 'a', 'b', 1, 5, 0, 0, 0, 2, '/', 'c', 0x36,
    };
    VpciFunction f = {
        .generation = 0x0102030405060708, .devfn = 10, .multifunction = true,
        .pm_cap = 0x40, .exp_cap = 0x50, .rom_bytes = 2048,
        .bar = { { 4096, VPCI_BAR_MEM64 } }, .id = "ab", .boots = 1,
        .boot = { { 5, "/c" } }, .config = { 0x36 },
    };
    uint8_t bytes[VPCI_FUNCTION_BYTES_MAX];

    g_assert_cmpint(vpci_function_pack(&f, bytes), ==,
                    17 + 9 * VPCI_BARS + sizeof(names) - 1 +
                    VPCI_CONFIG_BYTES);
    g_assert_cmpmem(bytes, sizeof(wanted), wanted, sizeof(wanted));
    g_assert_cmpmem(bytes + 17 + 9 * VPCI_BARS, sizeof(names), names,
                    sizeof(names));
}

/* One byte at a time out of its bounds; offsets as in test_layout(). */
static void test_bounds(void)
{
    enum { BARS = 17, ID = BARS + 9 * VPCI_BARS, BOOTS = ID + 6 };
    static const struct {
        size_t at;
        uint8_t value;
        const char *why;
    } wrong[] = {
        { 9, 2, "with a flag that is neither 0 nor 1" },
        { 10, 2, "with a flag that is neither 0 nor 1" },
        { 16, 1, "with a ROM over 16 MiB" },
        { 16, 0xff, "with a ROM over 16 MiB" },
        { BARS + 8, 0x10, "with a BAR of no type" },
        { BARS + 9 * 5 + 8, 0xff, "with a BAR of no type" },
        { ID, VPCI_ID_MAX + 1, "with an id that is too long" },
        { ID, 0xff, "with an id that is too long" },
        { ID + 2, 0, "with an id that is too long" },
        { BOOTS, VPCI_BOOTS_MAX + 1, "with too many boot entries" },
        { BOOTS, 0xff, "with too many boot entries" },
        { BOOTS + 4, 0x80, "with a boot index that is no bootindex" },
        { BOOTS + 5, VPCI_BOOT_SUFFIX_MAX + 1,
          "with a boot path that is too long" },
        { BOOTS + 7, 0, "with a boot path that is too long" },
    };
    VpciFunction f, got;

    vpci_sample(&f);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        uint8_t bytes[VPCI_FUNCTION_BYTES_MAX];
        size_t len = vpci_function_pack(&f, bytes);

        g_assert_cmpint(bytes[ID], ==, strlen(f.id));
        bytes[wrong[i].at] = wrong[i].value;
        g_assert_cmpstr(vpci_function_unpack(&got, bytes, len), ==,
                        wrong[i].why);
    }
}

/* --------------------------------------------------------------- refusals */

CHANGE(no_generation, f->generation = 0)
CHANGE(slot_0, f->devfn = VPCI_DEVFN(0, 1))
CHANGE(slot_9, f->devfn = VPCI_DEVFN(SLOTS + 1, 0))
CHANGE(slot_31, f->devfn = VPCI_DEVFN(31, 7))
CHANGE(no_vendor, f->config[0] = f->config[1] = 0xff)
CHANGE(vendor_0, f->config[0] = f->config[1] = 0)
CHANGE(bridge, f->config[0x0e] = 0x81)
CHANGE(cardbus, f->config[0x0e] = 0x82)
CHANGE(hidden_functions, f->config[0x0e] = 0)
CHANGE(no_functions, f->multifunction = false)
CHANGE(decodes_ports, f->config[4] = 1)
CHANGE(decodes_memory, f->config[4] = 2)
CHANGE(pin_5, f->config[0x3d] = 5)
CHANGE(cap_in_header, f->config[0x34] = 0x3c)
CHANGE(cap_between, f->config[0x34] = 0x42)
CHANGE(cap_circle_1, f->config[0x81] = 0x80)
CHANGE(cap_circle_2, f->config[0x81] = 0x40)
CHANGE(no_caps, f->config[6] = 0)
CHANGE(pm_elsewhere, f->pm_cap = 0x44)
CHANGE(pm_between, f->pm_cap = 0x41)
CHANGE(pm_is_exp, f->pm_cap = 0x80)
CHANGE(exp_elsewhere, f->exp_cap = 0xc0)
CHANGE(exp_is_pm, f->exp_cap = 0x40)
CHANGE(pm_at_end, f->pm_cap = f->config[0x81] = 0xfc; f->config[0xfc] = 1)
CHANGE(exp_at_end, f->exp_cap = f->config[0x81] = 0xf8;
       f->config[0xf8] = 0x10)
CHANGE(ext_in_header, f->config[0x203] = 0x04)
CHANGE(ext_between, f->config[0x202] = 0x21; f->config[0x203] = 0x30)
CHANGE(ext_beyond, f->config[0x203] = 0xff; f->config[0x202] = 0xc1)
CHANGE(all_ones_ext, memset(f->config + 256, 0xff, 4))
CHANGE(ext_circle_1, f->config[0x203] = 0x20)
CHANGE(ext_circle_2, f->config[0x203] = 0x10)
CHANGE(cxl_at_end, f->config[0x203] = 0xff; f->config[0x202] = 0x81;
       f->config[0xff8] = 0x23; f->config[0xffc] = 0x98;
       f->config[0xffd] = 0x1e)
CHANGE(bar_type, f->bar[1].type = VPCI_BAR_MEM64)
CHANGE(bar_3_bytes, f->bar[3].size = 4097)
CHANGE(bar_upper, f->bar[1] = f->bar[3])
CHANGE(bar_last, f->bar[5] = f->bar[4]; f->config[0x24] = 0x0c)
CHANGE(bar_is_io, f->config[0x10] = 0x05)
CHANGE(bar_is_32, f->config[0x10] = 0x00)
CHANGE(bar_is_pref, f->config[0x1c] = 0x08)
CHANGE(io_is_mem, f->config[0x18] = 0x00)
CHANGE(rom_odd, f->rom_bytes = 3000)
CHANGE(rom_small, f->rom_bytes = 1024)
CHANGE(rom_shown, f->config[0x30] = 1)
CHANGE(id_digit, strcpy(f->id, "0nvme"))
CHANGE(id_line, strcpy(f->id, "nvme\n0"))
CHANGE(id_hash, strcpy(f->id, "#block1"))
CHANGE(id_dash, strcpy(f->id, "-nvme"))
CHANGE(boot_line, strcpy(f->boot[0].suffix, "/disk\n/rom"))
CHANGE(boot_space, strcpy(f->boot[0].suffix, "/disk 1"))
CHANGE(boot_relative, strcpy(f->boot[0].suffix, "disk@0"))
CHANGE(boot_twice, f->boot[1].index = 0)
CHANGE(boot_order, f->boot[0].index = 8)

static const struct {
    Change *change;
    const char *why;
} refused[] = {
    { no_generation, "has no generation" },
    { slot_0, "is in a slot that its node does not have" },
    { slot_9, "is in a slot that its node does not have" },
    { slot_31, "is in a slot that its node does not have" },
    { no_vendor, "has the vendor of an empty slot" },
    { vendor_0, "has the vendor of an empty slot" },
    { bridge, "has the header of a bridge" },
    { cardbus, "has the header of a bridge" },
    { hidden_functions, "and its header differ in whether the slot has more "
      "functions" },
    { no_functions, "and its header differ in whether the slot has more "
      "functions" },
    { decodes_ports, "has addresses that the guest has not given it" },
    { decodes_memory, "has addresses that the guest has not given it" },
    { pin_5, "has an interrupt pin beyond INTD" },
    { cap_in_header, "has a capability in its header, or between two words" },
    { cap_between, "has a capability in its header, or between two words" },
    { cap_circle_1, "has a list of capabilities that goes in a circle" },
    { cap_circle_2, "has a list of capabilities that goes in a circle" },
    { no_caps, "has no power management where it says" },
    { pm_elsewhere, "has no power management where it says" },
    { pm_between, "has no power management where it says" },
    { pm_is_exp, "has no power management where it says" },
    { pm_at_end, "has no power management where it says" },
    { exp_elsewhere, "has no PCI Express capability where it says" },
    { exp_is_pm, "has no PCI Express capability where it says" },
    { exp_at_end, "has no PCI Express capability where it says" },
    { ext_in_header, "has an extended capability where none can be" },
    { ext_between, "has an extended capability where none can be" },
    { ext_beyond, "has an extended capability where none can be" },
    { all_ones_ext, "has an extended capability where none can be" },
    { ext_circle_1, "has a list of extended capabilities that goes in a "
      "circle" },
    { ext_circle_2, "has a list of extended capabilities that goes in a "
      "circle" },
    { cxl_at_end, "is a CXL device: its memory has no BAR" },
    { bar_type, "has a BAR with a type but no size" },
    { bar_3_bytes, "has a BAR with a size that no BAR of its type can have" },
    { bar_upper, "has a BAR of 64 bits without a second register" },
    { bar_last, "has a BAR of 64 bits without a second register" },
    { bar_is_io, "and its configuration space differ in the type of a BAR" },
    { bar_is_32, "and its configuration space differ in the type of a BAR" },
    { bar_is_pref, "and its configuration space differ in the type of a "
      "BAR" },
    { io_is_mem, "and its configuration space differ in the type of a BAR" },
    { rom_odd, "has a ROM with a size that no ROM can have" },
    { rom_small, "has a ROM with a size that no ROM can have" },
    { rom_shown, "shows a ROM that the guest has not enabled" },
    { id_digit, "has an id that is none" },
    { id_line, "has an id that is none" },
    { id_hash, "has an id that is none" },
    { id_dash, "has an id that is none" },
    { boot_line, "has a boot path that is none" },
    { boot_space, "has a boot path that is none" },
    { boot_relative, "has a boot path that is none" },
    { boot_twice, "has boot entries that are not in order" },
    { boot_order, "has boot entries that are not in order" },
};

static void test_refused(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        VpciFunction f;

        vpci_sample(&f);
        refused[i].change(&f);
        g_assert_cmpstr(vpci_function_check(&f, SLOTS), ==, refused[i].why);
    }
}

CHANGE(nothing, (void)f)
CHANGE(last_slot, f->devfn = VPCI_DEVFN(SLOTS, 7))
CHANGE(conventional, f->express = false; f->exp_cap = 0; f->config[0x41] = 0;
       memset(f->config + 256, 0, VPCI_CONFIG_BYTES_MAX - 256))
CHANGE(one_function, f->multifunction = false; f->config[0x0e] = 0)
CHANGE(without_caps, f->pm_cap = f->exp_cap = 0; f->config[6] = 0)
CHANGE(without_ext, memset(f->config + 256, 0, 4))
CHANGE(ext_at_end, f->config[0x203] = 0xff; f->config[0x202] = 0x81;
       f->config[0xff8] = 0x24)
CHANGE(upper_half, f->config[0x14] = 0x03)
CHANGE(address, f->config[0x13] = 0xfe; f->config[0x1b] = 0xff)
CHANGE(anonymous, f->id[0] = 0)
CHANGE(without_rom, f->rom_bytes = 0)
CHANGE(without_boot, f->boots = 0)
CHANGE(pm_fits, f->pm_cap = f->config[0x81] = 0xf8; f->config[0xf8] = 1)
CHANGE(exp_fits, f->exp_cap = f->config[0x81] = 0xf4;
       f->config[0xf4] = 0x10)
CHANGE(long_id, strcpy(f->id, "a.B-c_9"))
CHANGE(no_interrupt, f->config[0x3d] = 0)
CHANGE(pin_4, f->config[0x3d] = 4)
CHANGE(least_rom, f->rom_bytes = VPCI_ROM_BYTES_MIN)
CHANGE(greatest_rom, f->rom_bytes = VPCI_ROM_BYTES_MAX)

static void test_accepted(void)
{
    static Change *const accepted[] = {
        nothing, last_slot, conventional, one_function, without_caps,
        without_ext, ext_at_end, upper_half, address, anonymous,
        without_rom, without_boot, pm_fits, exp_fits, long_id, no_interrupt,
        pin_4, least_rom, greatest_rom,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(accepted); i++) {
        VpciFunction f;

        vpci_sample(&f);
        accepted[i](&f);
        g_assert_null(vpci_function_check(&f, SLOTS));
        check_round_trip(&f);
    }
}

static void test_classes(void)
{
    VpciFunction f;

    vpci_sample(&f);
    for (unsigned class = 0; class < 65536; class++) {
        const char *why;

        f.config[0x0a] = class;
        f.config[0x0b] = class >> 8;
        why = vpci_function_check(&f, SLOTS);
        if (class == 0x0300 || class == 0x0001) {
            g_assert_nonnull(strstr(why, "VGA"));
        } else if (class >> 8 == 6) {
            g_assert_nonnull(strstr(why, "is a bridge"));
        } else {
            g_assert_null(why);
        }
    }
}

static void test_extended_caps(void)
{
    static const uint16_t vendors[] = { 0, 0x1e98, 0x1e99, 0x8086, 0xffff };
    VpciFunction f;

    vpci_sample(&f);
    for (unsigned id = 0; id < 65536; id++) {
        for (size_t v = 0; v < G_N_ELEMENTS(vendors); v++) {
            const char *why;

            f.config[0x200] = id;
            f.config[0x201] = id >> 8;
            f.config[0x204] = vendors[v];
            f.config[0x205] = vendors[v] >> 8;
            why = vpci_function_check(&f, SLOTS);
            if (id == 0x10) {
                g_assert_nonnull(strstr(why, "SR-IOV"));
            } else if (id == 0x0f) {
                g_assert_nonnull(strstr(why, "ats=off"));
            } else if (id == 0x23 && vendors[v] == 0x1e98) {
                g_assert_nonnull(strstr(why, "CXL"));
            } else {
                g_assert_null(why);
            }
        }
    }
}

/* Every type with every power of two, and with one byte more and less. */
static void test_bars(void)
{
    for (unsigned type = 0; type < 16; type++) {
        bool is_io = type == VPCI_BAR_IO, is_64 = type & VPCI_BAR_MEM64;
        bool is_mem = !(type & 3);
        unsigned least = is_io ? 2 : 4, most = is_io ? 16 : is_64 ? 51 : 31;

        for (unsigned shift = 0; shift < 64; shift++) {
            uint64_t size = UINT64_C(1) << shift;
            VpciFunction f;

            vpci_sample(&f);
            f.bar[0] = (VpciBar) { .size = size, .type = type };
            f.config[0x10] = type;
            g_assert_cmpint(!vpci_function_check(&f, SLOTS), ==,
                            (is_io || is_mem) && shift >= least &&
                            shift <= most);
            f.bar[0].size = size + 1;
            g_assert_true(size == 1 || vpci_function_check(&f, SLOTS));
            f.bar[0].size = size - 1;
            g_assert_true(size <= 2 || vpci_function_check(&f, SLOTS));
        }
    }
}

/* --------------------------------------------------------------- comparison */

CHANGE(other_generation, f->generation++)
CHANGE(other_devfn, f->devfn++)
CHANGE(other_multi, f->multifunction = false)
CHANGE(other_express, f->express = false)
CHANGE(other_pm, f->pm_cap = 0)
CHANGE(other_exp, f->exp_cap = 0)
CHANGE(other_rom, f->rom_bytes *= 2)
CHANGE(other_bar_size, f->bar[4].size *= 2)
CHANGE(other_bar_type, f->bar[4].type = VPCI_BAR_MEM64)
CHANGE(other_id, f->id[4] = '1')
CHANGE(other_boots, f->boots = 1)
CHANGE(other_index, f->boot[1].index = 8)
CHANGE(other_suffix, f->boot[0].suffix[0] = 0)
CHANGE(other_byte, f->config[VPCI_CONFIG_BYTES_MAX - 1] = 1)

static void test_difference(void)
{
    static const struct {
        Change *change;
        const char *name;
    } others[] = {
        { other_generation, "generation" }, { other_devfn, "devfn" },
        { other_multi, "multifunction" }, { other_express, "express" },
        { other_pm, "pm_cap" }, { other_exp, "exp_cap" },
        { other_rom, "rom_bytes" }, { other_bar_size, "bar" },
        { other_bar_type, "bar" }, { other_id, "id" },
        { other_boots, "boot" }, { other_index, "boot" },
        { other_suffix, "boot" }, { other_byte, "config" },
    };
    VpciFunction a, b;

    vpci_sample(&a);
    b = a;
    g_assert_null(vpci_function_difference(&a, &b));
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        b = a;
        others[i].change(&b);
        g_assert_cmpstr(vpci_function_difference(&a, &b), ==, others[i].name);
        g_assert_cmpstr(vpci_function_difference(&b, &a), ==, others[i].name);
    }
    /* Bytes behind the end of a text or of a list are no difference. */
    b = a;
    b.id[VPCI_ID_MAX] = 'x';
    b.boot[2].index = 3;
    g_assert_null(vpci_function_difference(&a, &b));
}

const VpciCheck vpci_function_checks[] = {
    { "/vpci-function/round-trip", test_round_trip },
    { "/vpci-function/cut-off", test_cut_off },
    { "/vpci-function/layout", test_layout },
    { "/vpci-function/bounds", test_bounds },
    { "/vpci-function/refused", test_refused },
    { "/vpci-function/accepted", test_accepted },
    { "/vpci-function/classes", test_classes },
    { "/vpci-function/extended-capabilities", test_extended_caps },
    { "/vpci-function/bars", test_bars },
    { "/vpci-function/difference", test_difference },
    { NULL },
};

VPCI_CHECK_MAIN(vpci_function_checks)
