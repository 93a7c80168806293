/*
 * vpci-cluster: a root port on node 0, the twin of one of another node
 *
 * QEMU's own, but only a stand-in comes behind it, news of the guest are passed
 * on, and the guest is told of a link that goes.  BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_PORT_H
#define VPCI_PORT_H

#include "stand-in.h"

#define TYPE_VPCI_PORT "distkvm-root-port"

typedef struct PortListener {
    /* @s has left its bus, because the guest or the monitor let go of it. */
    void (*gone)(StandIn *s);
    /* The guest, asked to let go of the device on @bus, does not; why. */
    void (*kept)(PCIBus *bus, const char *why);
    /* The guest has switched the slot of @bus off. */
    void (*off)(PCIBus *bus);
} PortListener;

/* Once; @listener is static. */
void port_listen(const PortListener *listener);
/* Is the guest about to take the device on the port's @bus, or to let go? */
bool port_is_busy(PCIBus *bus);
/*
 * Is the port's slot off, and does it tell the guest of no event?  Then the
 * guest has not taken its device, and is not about to.
 */
bool port_is_unheeded(PCIBus *bus);
/*
 * The device on the port's @bus, which was there for the guest, has gone
 * without the guest's doing: tell it.
 */
void port_pulled(PCIBus *bus);

#endif
