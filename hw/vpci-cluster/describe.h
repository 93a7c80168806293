/*
 * vpci-cluster: a device of this node as a description
 *
 * Main thread, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_DESCRIBE_H
#define VPCI_DESCRIBE_H

#include "hw/pci/pci_device.h"
#include "function.h"

/* Fill in @f, which is zero, from @dev, which is realized, at @devfn. */
void describe_function(VpciFunction *f, PCIDevice *dev, uint8_t devfn);

#endif
