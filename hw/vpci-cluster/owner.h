/*
 * vpci-cluster: a follower's functions, told to node 0
 *
 * Main thread, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_OWNER_H
#define VPCI_OWNER_H

#include "system/distkvm-pci.h"
#include "owner-bus.h"

/* Once, before the others. */
void owner_start(void);
/* Tell node 0 of @dev, which is in a slot that is being plugged. */
void owner_tell(const OwnerHost *host, PCIDevice *dev, const VpciTell *tell);
/* @dev goes. */
void owner_forget(PCIDevice *dev);

#endif
