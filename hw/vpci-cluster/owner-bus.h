/*
 * vpci-cluster: the bus that a follower's PCI devices are on
 *
 * A follower's own chipset is out of the guest's reach.  Its devices are
 * therefore on a root bus of their own, with address spaces of their own, which
 * has the name and the kind of the chipset's bus: an ordinary command line puts
 * them there.  The guest sees a stand-in for each function on node 0.
 *
 * A slot of the node is a device number of this bus on pc, where a node without
 * any device at the start has no slots, and no bridge in the guest.  On q35, where node
 * 0's bus for it takes bridges only, a slot is a root port of this bus, in the
 * order of their device numbers; a device that the command line puts on the bus
 * itself gets a root port (QEMU's hw/remote has one bus, and one device for
 * each process).
 *
 * Main thread, BQL held.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_OWNER_BUS_H
#define VPCI_OWNER_BUS_H

#include "hw/pci/pci.h"
#include "hw/pci/pci_host.h"
#include "slots.h"

#define TYPE_VPCI_OWNER_HOST "distkvm-pci-host"
OBJECT_DECLARE_SIMPLE_TYPE(OwnerHost, VPCI_OWNER_HOST)

/* A root port, and where the BARs behind it are. */
typedef struct OwnerPort {
    OwnerHost *host;
    PCIDevice *dev;
    MemoryRegion mem, io;       /* aliases in the host's                    */
} OwnerPort;

/* Devices that come and go after node 0 was told of those of the start. */
typedef struct OwnerPlugging {
    /* May @dev, which is not realized yet, come?  It may be moved. */
    void (*pre_plug)(OwnerHost *host, PCIDevice *dev, Error **errp);
    void (*plug)(OwnerHost *host, PCIDevice *dev, Error **errp);
    void (*unplug_request)(OwnerHost *host, PCIDevice *dev, Error **errp);
} OwnerPlugging;

struct OwnerHost {
    PCIHostState parent_obj;

    MemoryRegion mem, io;       /* of the root bus                          */
    MemoryRegion all_mem, all_io;   /* those behind ports, too              */
    uint8_t node;               /* this node's number                       */
    bool express;
    char *name;                 /* of the bus                               */
    char *path;                 /* begins names of RAM blocks               */
    GPtrArray *ports;           /* OwnerPort, by device number              */
    /* Both from when node 0 was told of the start. */
    VpciSlots slots;
    const OwnerPlugging *plugging;
};

/* The host of this follower; NULL on node 0, and where no PCI bus is. */
OwnerHost *owner_host(void);
/* How many slots this node has with the devices and ports of the start. */
unsigned owner_slots(const OwnerHost *host);
/* Slot and function of @dev, which is in one of the node's slots. */
uint8_t owner_devfn(const OwnerHost *host, const PCIDevice *dev);
/* The function at @devfn, or NULL. */
PCIDevice *owner_function(const OwnerHost *host, uint8_t devfn);
/* The bus of slot @slot, or NULL. */
PCIBus *owner_bus(const OwnerHost *host, unsigned slot);
/* Slots whose devices may come and go while the guest runs, a bit for each. */
uint32_t owner_hotplug_slots(const OwnerHost *host);
/* The ROMs of all functions in @slots, a bit for each: their bytes. */
uint64_t owner_rom_bytes(const OwnerHost *host, uint32_t slots);
/* The interrupt line of the function at @devfn has @level now. */
void owner_line(const OwnerHost *host, uint8_t devfn, bool level);

#endif
