/*
 * vpci-cluster: node 0's bridge on pc that another node's devices are behind
 *
 * QEMU's own, but only a stand-in comes behind it.  Devices come and go by the
 * machine's ACPI, which has a number for each bus with slots, and gives those
 * out when the machine starts; such a bridge is made later.  BQL held.
 * Spec: QEMU's docs/specs/acpi_pci_hotplug.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_BRIDGE_H
#define VPCI_BRIDGE_H

#include "stand-in.h"

#define TYPE_VPCI_BRIDGE "distkvm-pci-bridge"

/*
 * Call @gone for each stand-in that has left its bus, because the guest let go
 * of its slot, or node 0 removes it.  Others in the slot may still be there.
 * Once.
 */
void bridge_listen(void (*gone)(StandIn *s));
/* @bridge is realized, and nothing is behind it yet. */
void bridge_ready(PCIDevice *bridge);

#endif
