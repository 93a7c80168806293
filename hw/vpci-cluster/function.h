/*
 * distkvm: the description of a PCI function
 *
 * The owner of a function tells node 0 everything that its stand-in is made
 * of: the bytes of configuration space, the size and type of each BAR, the
 * length of the option ROM.  Node 0 reads no register for it, and probes no BAR
 * by writing ones.  The idea is vfio-user's (QEMU's hw/remote): the device's
 * process describes regions, and the other process makes them.  Contents of the
 * ROM travel apart.
 *
 * A description comes from a peer.  vpci_function_unpack() holds each member
 * against its bounds, so the struct can be read; vpci_function_check() refuses
 * a function that can't have a stand-in, or that claims the impossible.  Both
 * say the reason in words.
 *
 * Pure; any thread.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_FUNCTION_H
#define VPCI_FUNCTION_H

#include "vpci.h"

/* Bytes of configuration space: of conventional PCI, and of PCI Express. */
#define VPCI_CONFIG_BYTES 256
#define VPCI_CONFIG_BYTES_MAX 4096

#define VPCI_BARS 6
#define VPCI_ROM_BYTES_MIN 2048
#define VPCI_ROM_BYTES_MAX (16 << 20)
/* Of all functions of a node that node 0 was told of, and does not show yet. */
#define VPCI_ROMS_BYTES_MAX (64u << 20)
/* Without the NUL that ends it. */
#define VPCI_ID_MAX 63
#define VPCI_BOOTS_MAX 8
#define VPCI_BOOT_SUFFIX_MAX 191

/* Type of a BAR: its low bits in configuration space. */
#define VPCI_BAR_MEM32 0x0
#define VPCI_BAR_IO 0x1
#define VPCI_BAR_MEM64 0x4
#define VPCI_BAR_PREFETCH 0x8       /* with VPCI_BAR_MEM32 or _MEM64        */

typedef struct VpciBar {
    uint64_t size;      /* bytes, a power of two; 0: there is no such BAR   */
    uint8_t type;       /* VPCI_BAR_*; 0 if there is none                   */
} VpciBar;

/* An entry of the boot order that lies below the function. */
typedef struct VpciBoot {
    uint32_t index;     /* bootindex=, from 0, below 2^31                   */
    char suffix[VPCI_BOOT_SUFFIX_MAX + 1];  /* of the path: "" or "/..."    */
} VpciBoot;

typedef struct VpciFunction {
    uint64_t generation;    /* of the slot, from 1: vpci_slots_plug()       */
    uint8_t devfn;          /* at the owner: VPCI_DEVFN()                   */
    bool multifunction;     /* the slot has more functions                  */
    bool express;           /* has 4096 bytes of configuration space        */
    uint8_t pm_cap;         /* offset of the capability, or 0               */
    uint8_t exp_cap;        /* offset of the capability, or 0               */
    uint32_t rom_bytes;     /* a power of two, or 0                         */
    VpciBar bar[VPCI_BARS];
    char id[VPCI_ID_MAX + 1];   /* of the owner's device, or ""             */
    uint8_t boots;          /* entries of @boot                             */
    VpciBoot boot[VPCI_BOOTS_MAX];  /* by index, each index once            */
    uint8_t config[VPCI_CONFIG_BYTES_MAX];  /* the rest is zero             */
} VpciFunction;

/* Bytes of configuration space of @f. */
static inline unsigned vpci_function_config_bytes(const VpciFunction *f)
{
    return f->express ? VPCI_CONFIG_BYTES_MAX : VPCI_CONFIG_BYTES;
}

/*
 * Can an unpacked @f, of an owner with @slots slots (0 to VPCI_SLOTS_MAX), have
 * a stand-in?  NULL, or the reason: it goes on after "the function ".  The
 * owner asks the same about its own function before it describes it.
 */
const char *vpci_function_check(const VpciFunction *f, unsigned slots);
/*
 * The name of the first member in which two descriptions differ; NULL: they are
 * equal.  A second description in one generation must be equal.
 */
const char *vpci_function_difference(const VpciFunction *a,
                                     const VpciFunction *b);

/* ----------------------------------- the rules, for the test of mutants */

/* A class of functions that is refused. */
typedef struct VpciClassRule {
    uint16_t mask, value;       /* of the class and the subclass            */
    const char *because;
} VpciClassRule;

/* An extended capability that is refused. */
typedef struct VpciCapRule {
    uint16_t id;
    uint16_t vendor;            /* of a DVSEC; 0: any                       */
    const char *because;
} VpciCapRule;

/* Bounds of the size of a BAR, by its type. */
typedef struct VpciBarRule {
    uint8_t type;
    uint64_t min, max;          /* bytes                                    */
} VpciBarRule;

/* Each ends with a row whose @because, or @max, is 0. */
extern VPCI_TABLE_CONST VpciClassRule vpci_class_rules[];
extern VPCI_TABLE_CONST VpciCapRule vpci_cap_rules[];
extern VPCI_TABLE_CONST VpciBarRule vpci_bar_rules[];

#endif
