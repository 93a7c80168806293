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
    const VpciFunction *function;       /* while it is realized             */
    const uint8_t *rom_bytes;           /* the same                         */
    MemoryRegion bar[VPCI_BARS];        /* aliases of the forwarder         */
    MemoryRegion rom;
};

/*
 * One for @function of @node, with the contents of its ROM at @rom, on @bus at
 * @devfn.  NULL and @errp if it does not fit.
 */
StandIn *stand_in_new(unsigned node, const VpciFunction *function,
                      const uint8_t *rom, PCIBus *bus, uint8_t devfn,
                      Error **errp);
/* The owner says what has changed: config-copy.h.  NULL, or the fault. */
const char *stand_in_changed(StandIn *s, const uint8_t *changes, size_t len);

#endif
