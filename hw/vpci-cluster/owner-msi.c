/*
 * vpci-cluster: MSIs of a follower's functions that an IOMMU remaps
 *
 * With interrupt remapping a message names an entry in a table of the guest,
 * and the IOMMU that has the table is node 0's.  Such messages go by way of the
 * stand-in.  All others go from here to the local APIC that they name.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/distkvm-pci.h"
#include "owner-bus.h"

/*
 * Intel's remappable format; a local APIC has this bit reserved.  An MSI to any
 * other address is a write to memory.
 */
#define REMAPPABLE 0x10

static bool is_remappable(uint64_t addr)
{
    return addr >= VPCI_MSI_ADDR && addr - VPCI_MSI_ADDR < VPCI_MSI_BYTES &&
           addr & REMAPPABLE;
}

bool vpci_sends_msi(PCIDevice *dev, uint64_t addr, uint32_t data)
{
    const OwnerHost *host = owner_host();
    const VpciSlot *slot;
    uint8_t devfn;

    if (!is_remappable(addr) || !vpci_owns(DEVICE(dev))) {
        return false;
    }
    devfn = owner_devfn(host, dev);
    slot = &host->slots.slot[VPCI_SLOT(devfn)];
    /*
     * A guest that lets a device send MSIs has found it, though this node may not
     * have heard so yet.  Unlike a line, a message is not repeated.
     */
    if (slot->state == VPCI_SLOT_PLUGGING ||
        slot->state == VPCI_SLOT_OCCUPIED ||
        slot->state == VPCI_SLOT_EJECTING) {
        distkvm_pci_msi(devfn, slot->generation, addr, data);
    }
    return true;
}
