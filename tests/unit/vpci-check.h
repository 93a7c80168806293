/*
 * Tests of vpci-cluster: each file gives a list of checks, which run by
 * themselves, and for each mutant of a table
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_CHECK_H
#define VPCI_CHECK_H

#include "hw/vpci-cluster/function.h"

typedef struct VpciCheck {
    const char *name;
    void (*fn)(void);
} VpciCheck;

/* Each ends with a row without a name. */
extern const VpciCheck vpci_copy_checks[], vpci_function_checks[],
                       vpci_plan_checks[], vpci_room_checks[],
                       vpci_slot_checks[];

/* A function that may have a stand-in, with everything that one can have. */
static inline void vpci_sample(VpciFunction *f)
{
    static const uint8_t header[] = {
        0x36, 0x1b, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00,
        0x02, 0x02, 0x08, 0x01, 0x00, 0x00, 0x80, 0x00,
        /* BARs 0 and 1: 64 bits; 2: ports; 3: 32 bits; 4 and 5: prefetch */
        0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x0c,
    };

    *f = (VpciFunction) {
        .generation = 1, .devfn = VPCI_DEVFN(3, 0), .multifunction = true,
        .express = true, .pm_cap = 0x40, .exp_cap = 0x80,
        .rom_bytes = 64 << 10, .id = "nvme0", .boots = 2,
        .boot = { { 0, "/namespace@1,0" }, { 7, "" } },
        .bar = {
            { 16 << 10, VPCI_BAR_MEM64 }, { 0 }, { 256, VPCI_BAR_IO },
            { 4096, VPCI_BAR_MEM32 },
            { 1 << 20, VPCI_BAR_MEM64 | VPCI_BAR_PREFETCH },
        },
    };
    memcpy(f->config, header, sizeof(header));
    f->config[0x34] = 0x40;             /* capabilities: power, Express     */
    memcpy(f->config + 0x40, (const uint8_t[]) { 0x01, 0x80 }, 2);
    memcpy(f->config + 0x80, (const uint8_t[]) { 0x10, 0x00 }, 2);
    f->config[0x3d] = 1;
    /* Extended: AER at 0x100, a serial number at 0x200. */
    memcpy(f->config + 0x100, (const uint8_t[]) { 0x01, 0, 0x02, 0x20 }, 4);
    memcpy(f->config + 0x200, (const uint8_t[]) { 0x03, 0, 0x01, 0x00 }, 4);
}

static inline int vpci_check_main(int argc, char **argv,
                                  const VpciCheck *checks)
{
    g_test_init(&argc, &argv, NULL);
    for (const VpciCheck *c = checks; c->name; c++) {
        g_test_add_func(c->name, c->fn);
    }
    return g_test_run();
}

/* The mutants' program has one main() for all files. */
#ifdef VPCI_MUTANTS
#define VPCI_CHECK_MAIN(checks)
#else
#define VPCI_CHECK_MAIN(checks) \
    int main(int argc, char **argv) \
    { \
        return vpci_check_main(argc, argv, checks); \
    }
#endif

#endif
