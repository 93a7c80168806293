/*
 * distkvm: the plan of bridges and slots
 *
 * Where each node's bridge is, and which numbers it has.  Each node says how
 * many slots it has, and node 0 makes the plan, which depends on its board.
 *
 * Firmware and guest choose addresses, and on pc bus numbers; the plan fixes
 * only those of q35's root buses, which QEMU itself wants to be told.
 *
 * pc:  a pci-bridge for each node on the root bus, its slots device 1 to 31.
 * q35: a pxb-pcie for each node on the root bus, and a root port for each slot.
 *
 * A node without slots has no bridge; so no root bus is without a root port.
 * SeaBIOS numbers root buses by the devices that it finds, QEMU by their order,
 * and an empty one would shift the boot paths of all that follow.
 *
 * Root buses take the highest bus numbers, in the order of nodes, and the lower
 * ones are left to bridges of the root bus, which SeaBIOS numbers from 1.
 *
 * Pure; any thread.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_PLAN_H
#define VPCI_PLAN_H

#include "vpci.h"

typedef enum VpciMachine {
    VPCI_PC,
    VPCI_Q35,
    VPCI_MACHINE__MAX
} VpciMachine;

typedef enum VpciFirmware {
    VPCI_SEABIOS,
    VPCI_OVMF,
    VPCI_FIRMWARE__MAX
} VpciFirmware;

/*
 * Addresses kept for devices that are plugged later: for each root port of a
 * node (q35), or for its bridge (pc).  0: firmware's own choice.
 */
typedef struct VpciReserve {
    uint32_t io;            /* bytes of ports, at most 64 KiB               */
    uint32_t mem;           /* bytes of memory below 4 GiB                  */
    uint64_t pref64;        /* bytes of prefetchable memory, anywhere       */
} VpciReserve;

typedef struct VpciNodeOptions {
    unsigned slots;         /* 0 to VPCI_SLOTS_MAX                          */
    VpciReserve reserve;
} VpciNodeOptions;

/* Devices and bridges that node 0's root bus has anyway. */
typedef struct VpciBoard {
    uint32_t devices;       /* taken device numbers, a bit for each         */
    unsigned buses;         /* root bus, and those behind bridges: >= 1     */
    uint32_t io;            /* bytes of ports, with those behind bridges    */
    uint64_t mem;           /* bytes of memory below 4 GiB, likewise        */
    uint64_t low_ram;       /* bytes of RAM below 4 GiB                     */
} VpciBoard;

typedef struct VpciOptions {
    VpciMachine machine;
    VpciFirmware firmware;
    unsigned nodes;         /* 1 to VPCI_NODES_MAX                          */
    VpciNodeOptions node[VPCI_NODES_MAX];
    VpciBoard board;
} VpciOptions;

typedef struct VpciBridge {
    unsigned slots;         /* 0: there is no bridge                        */
    VpciReserve reserve;    /* of the node's options                        */
    uint8_t devfn;          /* on the root bus                              */
    bool multifunction;     /* function 0 of several bridges                */
    uint8_t bus_nr;         /* q35: of the node's root bus; pc: 0           */
    uint8_t chassis;        /* of slots, and chassis_nr=: 128 to 191        */
} VpciBridge;

typedef struct VpciPlan {
    VpciMachine machine;
    unsigned nodes;
    VpciBridge bridge[VPCI_NODES_MAX];
} VpciPlan;

/* Where a slot of a node is in the guest. */
typedef struct VpciPlace {
    uint8_t port_devfn;     /* q35: of the root port on the node's root bus */
    uint16_t number;        /* q35: of the physical slot, unique            */
    uint8_t devfn;          /* of function 0, on the bus of the slot        */
} VpciPlace;

/*
 * Make the plan for @options.  NULL, or why there is none, with the remedy, as
 * one sentence; the caller's.
 */
char *vpci_plan_make(const VpciOptions *options, VpciPlan *plan);
/* Of slot @slot (1 to its slots) of @node, which has a bridge. */
VpciPlace vpci_plan_place(const VpciPlan *plan, unsigned node, unsigned slot);

#endif
