/*
 * vpci-cluster: boot entries of other nodes' devices
 *
 * bootindex= of a device is an entry in the boot order of its own process, and
 * firmware reads node 0's.  The owner tells of the entries of a function and of
 * all devices below it, as disks of a SCSI controller; node 0 gives them to the
 * stand-in, whose path in the guest's tree is theirs, too.
 *
 * Main thread, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_BOOT_H
#define VPCI_BOOT_H

#include "hw/pci/pci_device.h"
#include "function.h"

/*
 * Owner: add the entries of @dev to @f.  A warning names those for which a
 * description has no room.
 */
void boot_describe(VpciFunction *f, PCIDevice *dev);
/*
 * Node 0: add the entries of @f, for which @dev stands in.  False and @errp if
 * one has the index of another device: then none is added.
 */
bool boot_add(const VpciFunction *f, PCIDevice *dev, Error **errp);
/* @dev goes, and its entries with it. */
void boot_remove(PCIDevice *dev);
/* Node 0: firmware, which has not begun, shall read the order as it is now. */
void boot_tell_firmware(void);

#endif
