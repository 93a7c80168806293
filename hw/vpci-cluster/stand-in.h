/*
 * vpci-cluster: node 0's stand-in for a function of another node
 *
 * The guest finds it on the bus.  Its configuration is a copy; the owner
 * performs each write, and each read of bytes that the device may change by
 * itself.  Its BARs pass accesses on to the owner.  BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VPCI_STAND_IN_H
#define HW_VPCI_STAND_IN_H

#include "hw/pci/pci_device.h"
#include "config-copy.h"

#define TYPE_VPCI_STAND_IN "distkvm-pci-function"
OBJECT_DECLARE_SIMPLE_TYPE(StandIn, VPCI_STAND_IN)

struct StandIn {
    PCIDevice parent_obj;

    unsigned node;
    uint8_t devfn;              /* at its owner                             */
    uint64_t generation;        /* of its slot there                        */
    bool lost;                  /* its owner is, and nobody answers         */
    const VpciFunction *function;       /* while it is realized             */
    const uint8_t *rom_bytes;           /* the same                         */
    MemoryRegion bar[VPCI_BARS];        /* aliases of the forwarder         */
    MemoryRegion rom;
};

/*
 * One for @function of @node, with the contents of its ROM at @rom, on @bus.
 * @late: the guest may run.  NULL and @errp if it does not fit.
 */
StandIn *stand_in_new(unsigned node, const VpciFunction *function,
                      const uint8_t *rom, PCIBus *bus, bool late,
                      Error **errp);
/* The one for the function @devfn of its owner on @bus, or NULL. */
StandIn *stand_in_find(PCIBus *bus, uint8_t devfn);
/*
 * May @dev be behind @handler, another node's @kind of bridge?  Only stand-ins
 * may.  False and @errp, which names @instead as a place for others.
 */
bool stand_in_is_alone(HotplugHandler *handler, DeviceState *dev,
                       const char *kind, const char *instead, Error **errp);
/* The owner says what has changed: config-copy.h.  NULL, or the fault. */
const char *stand_in_changed(StandIn *s, const uint8_t *changes, size_t len);
/*
 * Its owner is lost: it has no addresses any more, and reads of it give ones,
 * as where there is no function.  It stays on its bus, to be looked at.
 */
void stand_in_lose(StandIn *s);

#endif
