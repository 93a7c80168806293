/*
 * distkvm: numbers that all pure parts of vpci-cluster agree on
 *
 * A slot belongs to one node.  In the guest it is a device number behind the
 * node's bridge (pc), or a root port of the node's root bus (q35).
 *
 * Pure.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_H
#define VPCI_H

#define VPCI_NODES_MAX 64
/* Slots of a node are 1 to 31: device 0 of a bus may be its SHPC's. */
#define VPCI_SLOTS_MAX 31
#define VPCI_FUNCTIONS_MAX 8        /* of a slot                            */

/* Device number and function number, as QEMU's devfn. */
#define VPCI_DEVFN(slot, function) ((slot) << 3 | (function))
#define VPCI_SLOT(devfn) ((devfn) >> 3 & 0x1f)
#define VPCI_FUNCTION(devfn) ((devfn) & 7)

/* The test of mutants writes to the tables. */
#ifndef VPCI_TABLE_CONST
#define VPCI_TABLE_CONST const
#endif

#endif
