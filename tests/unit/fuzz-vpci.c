/*
 * fuzz-vpci: descriptions of functions and changes of configuration space, as
 * a hostile peer sends them, under ASan and UBSan
 *
 * Descriptions are made right, damaged, cut, and read out of a buffer of
 * exactly their size.  One that is read must be made of the same bytes again,
 * and one that is accepted is used as node 0 uses it.  Lists of changes are
 * treated likewise.
 *
 *   fuzz-vpci [SECONDS [SEED]]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/config-copy.h"
#include "hw/vpci-cluster/function-pack.h"
#include "hw/vpci-cluster/room.h"
#include "vpci-check.h"

static GRand *chance;
static uint64_t descriptions, unpacked, accepted, lists, applied;

static unsigned below(unsigned n)
{
    return g_rand_int_range(chance, 0, n);
}

static void damage(uint8_t *bytes, size_t *len, unsigned places)
{
    for (unsigned n = below(4); n && *len; n--) {
        /* Most bytes are configuration space, and most of that is zero. */
        size_t at = below(2) ? below(MIN(*len, places)) : below(*len);

        bytes[at] = below(3) ? bytes[at] ^ 1 << below(8)
                             : (uint8_t)g_rand_int(chance);
    }
    if (!below(8)) {
        *len = below(*len + 1);
    }
}

/* ------------------------------------------------------------- descriptions */

/* More chains of capabilities than damage alone would make. */
static void chain_caps(VpciFunction *f)
{
    unsigned at = 0x34, ext = 0x100;

    for (unsigned n = below(8); n; n--) {
        unsigned next = 0x40 + 4 * below(48);

        f->config[at] = next;
        f->config[next] = below(32);
        at = next + 1;
    }
    for (unsigned n = f->express ? below(8) : 0; n; n--) {
        unsigned next = 0x100 + 4 * below(960);

        f->config[ext] = below(48);
        f->config[ext + 2] = 1 | next << 4;
        f->config[ext + 3] = next >> 4;
        ext = next;
    }
}

static void make_function(VpciFunction *f)
{
    vpci_sample(f);
    f->express = below(4);
    if (!f->express) {
        memset(f->config + VPCI_CONFIG_BYTES, 0,
               sizeof(f->config) - VPCI_CONFIG_BYTES);
    }
    if (!below(4)) {
        chain_caps(f);
    }
    if (!below(4)) {
        unsigned n = below(VPCI_BARS);

        f->bar[n].size = UINT64_C(1) << below(64);
        f->bar[n].type = below(16);
        f->config[0x10 + 4 * n] = f->bar[n].type;
    }
}

/* Facts that node 0 relies on when it makes the stand-in. */
static void use(const VpciFunction *f)
{
    unsigned slot = VPCI_SLOT(f->devfn);
    VpciNeed need = { 0 };

    if (!slot || slot > VPCI_SLOTS_MAX || strlen(f->id) > VPCI_ID_MAX ||
        f->boots > VPCI_BOOTS_MAX) {
        g_error("a function out of its bounds was accepted");
    }
    for (unsigned i = 0; i < f->boots; i++) {
        if (strlen(f->boot[i].suffix) > VPCI_BOOT_SUFFIX_MAX ||
            strchr(f->boot[i].suffix, '\n')) {
            g_error("a boot path that is none was accepted");
        }
    }
    for (unsigned n = 0; n < VPCI_BARS; n++) {
        if (f->bar[n].size & (f->bar[n].size - 1)) {
            g_error("a BAR of %" PRIu64 " bytes was accepted",
                    f->bar[n].size);
        }
    }
    /* The guest follows the list; it must end. */
    for (unsigned at = f->config[0x34], n = 0; f->config[6] & 0x10 && at;
         at = f->config[at + 1]) {
        if (++n > 48) {
            g_error("a list of capabilities without an end was accepted");
        }
    }
    vpci_need_add(&need, f);
    if (need.io > VPCI_BARS * (64 << 10)) {
        g_error("%" PRIu64 " ports were accepted", need.io);
    }
}

static void hostile_description(void)
{
    uint8_t bytes[VPCI_FUNCTION_BYTES_MAX], again[VPCI_FUNCTION_BYTES_MAX];
    g_autofree uint8_t *exact = NULL;
    VpciFunction f, other;
    size_t len;

    make_function(&f);
    len = vpci_function_pack(&f, bytes);
    if (below(8)) {
        damage(bytes, &len, 420);
    }
    exact = g_memdup2(bytes, len);
    descriptions++;
    if (vpci_function_unpack(&f, exact, len)) {
        return;
    }
    unpacked++;
    if (vpci_function_pack(&f, again) != len || memcmp(again, bytes, len)) {
        g_error("a description is not made of its own bytes");
    }
    if (vpci_function_unpack(&other, again, len) ||
        vpci_function_difference(&f, &other)) {
        g_error("two descriptions of the same bytes differ");
    }
    if (!vpci_function_check(&f, VPCI_SLOTS_MAX)) {
        accepted++;
        use(&f);
    }
}

/* ------------------------------------------------------------------ changes */

static void hostile_changes(void)
{
    unsigned bytes = below(2) ? VPCI_CONFIG_BYTES : VPCI_CONFIG_BYTES_MAX;
    g_autofree uint8_t *told = g_malloc0(bytes);
    g_autofree uint8_t *now = NULL, *exact = NULL, *before = NULL;
    uint8_t changes[VPCI_CHANGES_BYTES_MAX];
    uint16_t command;
    const char *why;
    size_t len;

    for (unsigned n = below(20); n; n--) {
        told[below(bytes)] = g_rand_int(chance);
    }
    now = g_memdup2(told, bytes);
    for (unsigned n = below(10); n; n--) {
        now[below(2) ? below(64) : below(bytes)] = g_rand_int(chance);
    }
    len = vpci_changes_list(told, now, bytes, changes);
    if (below(2)) {
        damage(changes, &len, 64);
    }
    exact = g_memdup2(changes, len);
    before = g_memdup2(told, bytes);
    lists++;
    why = vpci_changes_apply(told, bytes, exact, len, &command);
    if (why && memcmp(told, before, bytes)) {
        g_error("a refused list has changed the copy");
    }
    if (!why && (memcmp(told, before, 6) || (told[6] ^ before[6]) & 8)) {
        g_error("a list has changed what is not its to change");
    }
    applied += !why;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? g_ascii_strtod(argv[1], NULL) : 2;
    uint32_t seed = argc > 2 ? (uint32_t)atoi(argv[2]) : g_random_int();
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    printf("fuzz-vpci: seed %u\n", seed);
    fflush(stdout);
    chance = g_rand_new_with_seed(seed);
    /* At least once, however slow the host is. */
    do {
        for (unsigned n = 0; n < 1000; n++) {
            hostile_description();
            hostile_changes();
        }
    } while (g_get_monotonic_time() < end);
    g_rand_free(chance);
    printf("%" PRIu64 " descriptions, %" PRIu64 " unpacked, %" PRIu64
           " accepted, %" PRIu64 " lists of changes, %" PRIu64 " applied\n",
           descriptions, unpacked, accepted, lists, applied);
    return unpacked < descriptions && accepted && accepted < unpacked &&
           applied && applied < lists ? 0 : 1;
}
