/*
 * vpci-cluster: the bridges on node 0 that other nodes' functions are behind
 *
 * Made from a plan (plan.h): one bridge for each node that has slots; on pc a
 * pci-bridge, on q35 a pxb-pcie, which is a root bus near a NUMA node, with a
 * root port for each slot.  Main thread, BQL held, before the guest runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_TREE_H
#define VPCI_TREE_H

#include "hw/pci/pci_device.h"
#include "room.h"

/* Machine, firmware and root bus of node 0, for a plan. */
void tree_describe_board(VpciOptions *options);
/*
 * Make the bridges of @plan, with windows for @needs (VPCI_NEEDS of them).
 * Slots of node N take devices while the guest runs if their bits in
 * @hotplug[N] are set.  False and @errp if QEMU refuses one.
 */
bool tree_make(const VpciPlan *plan, const VpciNeed *needs,
               const uint32_t *hotplug, Error **errp);
/* All stand-ins of the start are there: only their slots have power. */
void tree_power(void);
/* The bus of a slot of @node, or NULL. */
PCIBus *tree_bus(unsigned node, unsigned slot);

#endif
