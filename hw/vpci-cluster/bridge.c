/*
 * vpci-cluster: node 0's bridge on pc that another node's devices are behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/acpi/pcihp.h"
#include "hw/hotplug.h"
#include "hw/i386/pc.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-core.h"
#include "qapi/error.h"
#include "bridge.h"

static void (*tell_gone)(StandIn *s);

void bridge_listen(void (*gone)(StandIn *s))
{
    tell_gone = gone;
}

/* ------------------------------------------------------- the bus's number */

static bool has_number(PCIBus *bus)
{
    return object_property_find(OBJECT(bus), ACPI_PCIHP_PROP_BSEL);
}

static void count_numbers(PCIBus *bus, void *opaque)
{
    uint32_t *next = opaque, number;

    if (has_number(bus)) {
        number = object_property_get_uint(OBJECT(bus), ACPI_PCIHP_PROP_BSEL,
                                          &error_abort);
        *next = MAX(*next, number + 1);
    }
}

/* As the machine numbers its own buses.  For ever, as the bridge is. */
static void give_number(PCIBus *bus)
{
    uint32_t *number = g_new0(uint32_t, 1);

    pci_for_each_bus(PC_MACHINE(qdev_get_machine())->pcibus, count_numbers,
                     number);
    if (*number < ACPI_PCIHP_MAX_HOTPLUG_BUS) {
        object_property_add_uint32_ptr(OBJECT(bus), ACPI_PCIHP_PROP_BSEL,
                                       number, OBJ_PROP_FLAG_READ);
    } else {
        g_free(number);
    }
}

void bridge_ready(PCIDevice *bridge)
{
    PCIBus *bus = pci_bridge_get_sec_bus(PCI_BRIDGE(bridge));

    /* The machine's, if its ACPI has hot-plug behind bridges. */
    if (BUS(bus)->hotplug_handler) {
        give_number(bus);
    }
    qbus_set_hotplug_handler(BUS(bus), OBJECT(bridge));
}

/* ------------------------------------------------------------- plugging */

/* The machine's, or NULL and @errp: nothing comes or goes behind @bridge. */
static HotplugHandler *acpi(HotplugHandler *bridge, Error **errp)
{
    if (!has_number(pci_bridge_get_sec_bus(PCI_BRIDGE(bridge)))) {
        error_setg(errp, "distkvm: ACPI of node 0's machine has no hot-plug"
                   " behind bridges: start node 0 without acpi=off and"
                   " acpi-pci-hotplug-with-bridge-support=off");
        return NULL;
    }
    return qdev_get_hotplug_handler(DEVICE(bridge));
}

static void bridge_pre_plug(HotplugHandler *bridge, DeviceState *dev,
                            Error **errp)
{
    if (stand_in_is_alone(bridge, dev, "bridge", "on a bus of node 0's own",
                          errp) && dev->hotplugged) {
        acpi(bridge, errp);
    }
}

/* A guest that is told of function 0 looks at all functions of the slot. */
static void bridge_plug(HotplugHandler *bridge, DeviceState *dev, Error **errp)
{
    if (dev->hotplugged && !PCI_FUNC(PCI_DEVICE(dev)->devfn)) {
        hotplug_handler_plug(acpi(bridge, &error_abort), dev, errp);
    }
}

static void bridge_unplug_request(HotplugHandler *bridge, DeviceState *dev,
                                  Error **errp)
{
    HotplugHandler *handler = acpi(bridge, errp);

    if (handler) {
        hotplug_handler_unplug_request(handler, dev, errp);
    }
}

static void bridge_unplug(HotplugHandler *bridge, DeviceState *dev,
                          Error **errp)
{
    /* As ACPI's does it; the caller is ACPI's eject, or node 0 itself. */
    qdev_unrealize(dev);
    /* After a start that has failed nobody listens. */
    if (tell_gone) {
        tell_gone(VPCI_STAND_IN(dev));
    }
}

static void bridge_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    HotplugHandlerClass *hc = HOTPLUG_HANDLER_CLASS(oc);

    dc->desc = "PCI bridge of another node";
    dc->user_creatable = false;
    hc->pre_plug = bridge_pre_plug;
    hc->plug = bridge_plug;
    hc->unplug_request = bridge_unplug_request;
    hc->unplug = bridge_unplug;
}

static const TypeInfo bridge_info = {
    .name = TYPE_VPCI_BRIDGE,
    .parent = "pci-bridge",
    .class_init = bridge_class_init,
};

static void bridge_register_types(void)
{
    type_register_static(&bridge_info);
}

type_init(bridge_register_types)
