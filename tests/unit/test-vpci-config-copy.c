/*
 * A stand-in's copy of configuration space: which reads it serves, and how
 * changes are listed and applied
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/config-copy.h"
#include "vpci-check.h"

#define COMMAND 0x04
#define STATUS 0x06
#define STATUS_INTX 0x08

static unsigned below(unsigned n)
{
    return g_test_rand_int_range(0, n);
}

static uint16_t command_of(const uint8_t *config)
{
    return config[COMMAND] | config[COMMAND + 1] << 8;
}

/* -------------------------------------------------------------------- reads */

static void test_serves(void)
{
    for (unsigned at = 0; at < VPCI_CONFIG_BYTES_MAX; at++) {
        for (unsigned len = 1; len <= 8; len++) {
            bool status = at < STATUS + 2 && at + len > STATUS;

            g_assert_cmpint(vpci_copy_serves(at, len), ==,
                            at + len <= 0x40 && !status);
        }
    }
}

/* ------------------------------------------------------------------ listing */

static void test_list(void)
{
    static const uint8_t wanted[] = {
        0x40, 0x00, 0x06, 0x00, 1, 0, 0, 0, 0, 2,
        0x4b, 0x00, 0x01, 0x00, 3,
        0xff, 0x01, 0x01, 0x00, 4,
    };
    uint8_t told[512] = { 0 }, now[512] = { 0 }, changes[4 + 512];

    g_assert_cmpint(vpci_changes_list(told, now, 512, changes), ==, 0);
    now[0x40] = 1;
    now[0x45] = 2;      /* 4 bytes between: one range */
    now[0x4b] = 3;      /* 5 bytes between: two       */
    now[0x1ff] = 4;
    g_assert_cmpint(vpci_changes_list(told, now, 512, changes), ==,
                    sizeof(wanted));
    g_assert_cmpmem(changes, sizeof(wanted), wanted, sizeof(wanted));
}

/* The longest lists: all bytes, and bytes too far apart to be one range. */
static void test_longest(void)
{
    uint8_t told[VPCI_CONFIG_BYTES_MAX] = { 0 };
    uint8_t now[VPCI_CONFIG_BYTES_MAX];
    g_autofree uint8_t *changes = g_malloc(VPCI_CHANGES_BYTES_MAX);

    memset(now, 1, sizeof(now));
    g_assert_cmpint(vpci_changes_list(told, now, sizeof(now), changes), ==,
                    VPCI_CHANGES_BYTES_MAX);
    for (unsigned step = 1; step < 20; step++) {
        for (unsigned i = 0; i < sizeof(now); i++) {
            now[i] = i % step == 0;
        }
        g_assert_cmpint(vpci_changes_list(told, now, sizeof(now), changes),
                        <=, VPCI_CHANGES_BYTES_MAX);
    }
}

/* ----------------------------------------------------------------- applying */

/* Change some bytes at random that may change. */
static void change(uint8_t *config, unsigned bytes)
{
    for (unsigned n = below(40); n; n--) {
        unsigned at = below(3) ? below(64) : below(bytes);
        static const uint8_t fixed[] = {
            0, 1, 2, 3, 0x0a, 0x0b, 0x0e, 0x3d,
        };

        if (!memchr(fixed, at, sizeof(fixed)) || at > 0xff) {
            config[at] = g_test_rand_int();
        }
    }
}

/* The bytes of @changes in a buffer of exactly their size. */
static const char *apply(uint8_t *copy, unsigned bytes,
                         const uint8_t *changes, size_t len,
                         uint16_t *command)
{
    g_autofree uint8_t *exact = g_memdup2(changes, len);

    return vpci_changes_apply(copy, bytes, exact, len, command);
}

/* As owner and node 0 go on: told and copy stay the same. */
static void test_round_trip(void)
{
    static const unsigned sizes[] = {
        VPCI_CONFIG_BYTES, VPCI_CONFIG_BYTES_MAX,
    };

    for (unsigned n = 0; n < 2000; n++) {
        unsigned bytes = sizes[n & 1];
        g_autofree uint8_t *told = g_malloc0(bytes);
        g_autofree uint8_t *copy = g_malloc0(bytes);
        g_autofree uint8_t *now = g_malloc0(bytes);
        g_autofree uint8_t *changes = g_malloc(4 + bytes);

        for (unsigned step = 0; step < 5; step++) {
            uint8_t intx = g_test_rand_int() & STATUS_INTX;
            uint16_t before = command_of(copy), command = 0;
            size_t len;

            change(now, bytes);
            copy[STATUS] = (copy[STATUS] & ~STATUS_INTX) | intx;
            len = vpci_changes_list(told, now, bytes, changes);
            g_assert_cmpint(len, <=, 4 + bytes);
            g_assert_null(apply(copy, bytes, changes, len, &command));
            memcpy(told, now, bytes);
            /* COMMAND is the caller's to write, and INTx's bit node 0's. */
            g_assert_cmphex(command, ==, command_of(now));
            g_assert_cmphex(command_of(copy), ==, before);
            g_assert_cmphex(copy[STATUS] & STATUS_INTX, ==, intx);
            copy[COMMAND] = command;
            copy[COMMAND + 1] = command >> 8;
            now[STATUS] = (now[STATUS] & ~STATUS_INTX) | intx;
            g_assert_cmpmem(copy, bytes, now, bytes);
            memcpy(now, told, bytes);
        }
    }
}

/* Half of COMMAND leaves the other half; without any the old one is written. */
static void test_command(void)
{
    static const struct {
        uint8_t list[7];
        size_t len;
        uint16_t command;
    } lists[] = {
        { { 0 }, 0, 0x0407 },
        { { 0x04, 0, 1, 0, 0x02 }, 5, 0x0402 },
        { { 0x05, 0, 1, 0, 0x01 }, 5, 0x0107 },
        { { 0x04, 0, 2, 0, 0x03, 0x00 }, 6, 0x0003 },
        { { 0x0c, 0, 1, 0, 0x10 }, 5, 0x0407 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        uint8_t copy[VPCI_CONFIG_BYTES] = { [4] = 0x07, [5] = 0x04 };
        uint16_t command = 0xffff;

        g_assert_null(apply(copy, sizeof(copy), lists[i].list, lists[i].len,
                            &command));
        g_assert_cmphex(command, ==, lists[i].command);
        g_assert_cmphex(command_of(copy), ==, 0x0407);
    }
}

/* A refused list leaves the copy as it was, also where it is right first. */
static void refuse(unsigned bytes, const uint8_t *list, size_t len,
                   const char *why)
{
    g_autofree uint8_t *copy = g_malloc0(bytes);
    g_autofree uint8_t *before = NULL;
    uint16_t command = 0xaaaa;

    copy[0] = 0x36;
    before = g_memdup2(copy, bytes);
    g_assert_cmpstr(apply(copy, bytes, list, len, &command), ==, why);
    g_assert_cmpmem(copy, bytes, before, bytes);
    g_assert_cmphex(command, ==, 0xaaaa);
}

static void test_no_list(void)
{
    static const struct {
        uint8_t list[16];
        size_t len;
    } wrong[] = {
        { { 0x0c }, 1 },
        { { 0x0c, 0 }, 2 },
        { { 0x0c, 0, 1 }, 3 },
        { { 0x0c, 0, 1, 0 }, 4 },                       /* bytes missing */
        { { 0x0c, 0, 0, 0 }, 4 },                       /* an empty range */
        { { 0x0c, 0, 2, 0, 1 }, 5 },
        { { 0x0c, 0, 0xff, 0xff, 1, 1 }, 6 },
        { { 0x00, 1, 1, 0, 1 }, 5 },                    /* behind the end */
        { { 0xff, 0, 2, 0, 1, 1 }, 6 },
        { { 0xff, 0xff, 1, 0, 1 }, 5 },
        { { 0x0c, 0, 1, 0, 1, 9 }, 6 },                 /* a rest */
        { { 0x0c, 0, 2, 0, 1, 1, 0x0d, 0, 1, 0, 1 }, 11 },  /* overlap */
        { { 0x40, 0, 1, 0, 1, 0x0c, 0, 1, 0, 1 }, 10 }, /* not in order */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        refuse(VPCI_CONFIG_BYTES, wrong[i].list, wrong[i].len,
               "a list of changes that is none");
    }
}

/* Each byte alone: only those that say what a function is are refused. */
static void test_fixed(void)
{
    for (unsigned at = 0; at < VPCI_CONFIG_BYTES_MAX; at++) {
        bool fixed = at < 4 || at == 0x0a || at == 0x0b || at == 0x0e ||
                     at == 0x3d;

        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t copy[VPCI_CONFIG_BYTES_MAX] = { 0x36 };
            uint8_t list[] = { at, at >> 8, 1, 0, copy[at] ^ 1 << bit };
            uint16_t command;

            if (fixed) {
                refuse(sizeof(copy), list, sizeof(list),
                       "a change of what a function is");
                /* The same value is no change. */
                list[4] ^= 1 << bit;
            }
            g_assert_null(apply(copy, sizeof(copy), list, sizeof(list),
                                &command));
        }
    }
}

static void test_first_range_not_applied(void)
{
    static const uint8_t list[] = {
        0x04, 0, 1, 0, 2, 0x0e, 0, 1, 0, 1,
    };

    refuse(VPCI_CONFIG_BYTES, list, sizeof(list),
           "a change of what a function is");
    refuse(VPCI_CONFIG_BYTES, list, sizeof(list) - 1,
           "a list of changes that is none");
}

const VpciCheck vpci_copy_checks[] = {
    { "/vpci-config-copy/serves", test_serves },
    { "/vpci-config-copy/list", test_list },
    { "/vpci-config-copy/longest", test_longest },
    { "/vpci-config-copy/round-trip", test_round_trip },
    { "/vpci-config-copy/command", test_command },
    { "/vpci-config-copy/no-list", test_no_list },
    { "/vpci-config-copy/fixed", test_fixed },
    { "/vpci-config-copy/first-range-not-applied",
      test_first_range_not_applied },
    { NULL },
};

VPCI_CHECK_MAIN(vpci_copy_checks)
