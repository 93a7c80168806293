/*
 * distkvm: do the windows of all bridges fit?
 *
 * Firmware gives each bridge a window of ports and one of memory below 4 GiB,
 * if anything behind it needs one.  If they don't fit SeaBIOS stops with a
 * panic, and OVMF leaves devices without addresses.  Here that is predicted,
 * with the remedy.  The numbers are those of SeaBIOS's fw/pciinit.c and OVMF's
 * PlatformInitLib and PciHotPlugInitDxe.
 *
 * The prediction is exact for ports.  For memory OVMF may lose more to
 * alignment.  64-bit prefetchable memory is not counted, since it goes above
 * 4 GiB if it doesn't fit below.
 *
 * Pure; any thread.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_ROOM_H
#define VPCI_ROOM_H

#include "function.h"
#include "plan.h"

/* Addresses that functions behind one root port or one bridge need. */
typedef struct VpciNeed {
    uint64_t io;            /* bytes of ports                               */
    uint64_t mem;           /* bytes that must be below 4 GiB               */
    uint64_t mem_align;     /* bytes, of the greatest of them; or 0         */
    uint64_t pref;          /* bytes of prefetchable memory                 */
    uint64_t pref_align;
    bool pref_is_low;       /* one of them has 32 bits: all go below 4 GiB  */
} VpciNeed;

/* Add function @f. */
void vpci_need_add(VpciNeed *need, const VpciFunction *f);

/* A need for each slot, node * VPCI_NEEDS_NODE + slot. */
#define VPCI_NEEDS_NODE (VPCI_SLOTS_MAX + 1)
#define VPCI_NEEDS (VPCI_NODES_MAX * VPCI_NEEDS_NODE)

/* Sums over all windows. */
typedef struct VpciRoom {
    unsigned io_windows;    /* bridges that have one                        */
    uint64_t io;            /* bytes, with those of the board               */
    VpciNeed low;           /* @mem and @pref below 4 GiB, with the board's */
} VpciRoom;

/* For @options, which have a plan, and @needs[VPCI_NEEDS]. */
VpciRoom vpci_room(const VpciOptions *options, const VpciNeed *needs);
/*
 * NULL if firmware has room for that, or why not, with the remedy, as one
 * sentence; the caller's.
 */
char *vpci_room_check(const VpciOptions *options, const VpciNeed *needs);
/*
 * The bytes for io-reserve= of a root port: 0 if no function there has ports
 * and none are to be kept.  Without it each port gets a window from OVMF.
 */
uint64_t vpci_room_io_reserve(const VpciReserve *reserve,
                              const VpciNeed *need);
/*
 * pc: keep addresses behind the bridges of all nodes for devices that are
 * plugged later, as far as firmware has room for them: memory first, and then a
 * window of ports for each bridge.  Sets @reserve of all nodes.
 */
void vpci_room_reserve(VpciOptions *options, const VpciNeed *needs);
/*
 * NULL if devices that are plugged later get addresses in memory, or why not,
 * with the remedy.  @options are as vpci_room_reserve() has left them.
 */
const char *vpci_room_hotplug(const VpciOptions *options);

/* ----------------------------------- the limits, for the test of mutants */

typedef struct VpciLimit {
    const char *firmware;
    uint64_t io_max;            /* bytes of all windows of ports            */
    uint64_t mem_first;         /* lowest address of memory; 0: after RAM   */
    uint64_t mem_end;           /* behind the highest                       */
    const char *symptom;        /* "..., and the firmware ..."              */
} VpciLimit;

extern VPCI_TABLE_CONST VpciLimit
vpci_limits[VPCI_MACHINE__MAX][VPCI_FIRMWARE__MAX];

#endif
