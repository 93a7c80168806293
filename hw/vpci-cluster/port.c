/*
 * vpci-cluster: a root port on node 0, the twin of one of another node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/hotplug.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pcie_port.h"
#include "hw/resettable.h"
#include "qapi/error.h"
#include "port.h"

static const PortListener *listener;

/* Of QEMU's root port. */
static void (*parent_realize)(PCIDevice *dev, Error **errp);
static void (*parent_write)(PCIDevice *dev, uint32_t addr, uint32_t val,
                            int len);
static ResettablePhases parent_phases;

void port_listen(const PortListener *calls)
{
    listener = calls;
}

static void say_kept(PCIDevice *port, const char *why)
{
    if (listener) {
        listener->kept(pci_bridge_get_sec_bus(PCI_BRIDGE(port)), why);
    }
}

static void say_off(PCIDevice *port)
{
    if (listener) {
        listener->off(pci_bridge_get_sec_bus(PCI_BRIDGE(port)));
    }
}

/* -------------------------------------------------- the slot's registers */

static uint16_t slot_control(const PCIDevice *port)
{
    return pci_get_word(port->config + port->exp.exp_cap + PCI_EXP_SLTCTL);
}

static bool blinks(uint16_t control)
{
    return (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK;
}

bool port_is_busy(PCIBus *bus)
{
    return blinks(slot_control(bus->parent_dev));
}

/* As QEMU has it: then it removes what the slot has. */
static bool is_off(uint16_t control)
{
    return control & PCI_EXP_SLTCTL_PCC &&
           (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_OFF;
}

/*
 * A guest that takes events may be about to hear of the device: it would switch
 * the slot off later, when there is another one.
 */
bool port_is_unheeded(PCIBus *bus)
{
    uint16_t control = slot_control(bus->parent_dev);

    return is_off(control) && !(control & PCI_EXP_SLTCTL_HPIE);
}

/* ------------------------------------------------------- news of the link */

/*
 * QEMU's slots have no event "data link layer state changed", which guests wait
 * for where a slot has a button: Linux does not look at presence there.
 */
#define LINK_CHANGED PCI_EXP_SLTSTA_DLLSC
#define LINK_ENABLED PCI_EXP_SLTCTL_DLLSCE

static bool link_is_told(const PCIDevice *port)
{
    uint16_t control = slot_control(port);

    return control & PCI_EXP_SLTCTL_HPIE && control & LINK_ENABLED &&
           pci_get_word(port->config + port->exp.exp_cap + PCI_EXP_SLTSTA) &
           LINK_CHANGED;
}

/* Those that QEMU has. */
static bool events_are_told(const PCIDevice *port)
{
    uint16_t control = slot_control(port);

    return control & PCI_EXP_SLTCTL_HPIE && control & PCI_EXP_HP_EV_SUPPORTED &
           pci_get_word(port->config + port->exp.exp_cap + PCI_EXP_SLTSTA);
}

static void send_message(PCIDevice *port)
{
    uint8_t vector = pcie_cap_flags_get_vector(port);

    if (msix_enabled(port)) {
        msix_notify(port, vector);
    } else if (msi_enabled(port)) {
        msi_notify(port, vector);
    }
}

/* The line, if there are no messages: high while anything is to be told. */
static void set_line(PCIDevice *port)
{
    if (!msix_enabled(port) && !msi_enabled(port) && pci_intx(port) != -1) {
        pci_set_irq(port, port->exp.hpev_notified || link_is_told(port));
    }
}

/* As PCI Express has it in 6.7.3: no button is pressed, no command completed. */
void port_pulled(PCIBus *bus)
{
    PCIDevice *port = bus->parent_dev;
    uint8_t *cap = port->config + port->exp.exp_cap;
    bool before = port->exp.hpev_notified || link_is_told(port), told;

    pci_word_test_and_clear_mask(cap + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS);
    pci_word_test_and_clear_mask(cap + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA);
    pci_word_test_and_set_mask(cap + PCI_EXP_SLTSTA,
                               PCI_EXP_SLTSTA_PDC | LINK_CHANGED);
    port->exp.hpev_notified = events_are_told(port);
    told = port->exp.hpev_notified || link_is_told(port);
    if (told) {
        set_line(port);
    }
    if (told && !before) {
        send_message(port);
    }
}

static void port_realize(PCIDevice *dev, Error **errp)
{
    ERRP_GUARD();

    parent_realize(dev, errp);
    if (!*errp && PCIE_SLOT(dev)->hotplug) {
        pci_word_test_and_set_mask(dev->wmask + dev->exp.exp_cap +
                                   PCI_EXP_SLTCTL, LINK_ENABLED);
        pci_word_test_and_set_mask(dev->w1cmask + dev->exp.exp_cap +
                                   PCI_EXP_SLTSTA, LINK_CHANGED);
    }
}

/*
 * The guest has written; before that it was @told of the link.  Other news of
 * the port share the line.
 */
static void write_link(PCIDevice *port, bool told)
{
    bool now = link_is_told(port);

    if (now || told) {
        set_line(port);
    }
    if (now && !told) {
        send_message(port);
    }
}

/* -------------------------------------------------- what the guest does */

/*
 * A guest blinks while it thinks about a request, and ends by switching the
 * slot off, or by showing that it is on.
 */
static void port_write(PCIDevice *dev, uint32_t addr, uint32_t val, int len)
{
    uint16_t before = slot_control(dev), now;
    bool told = link_is_told(dev);

    parent_write(dev, addr, val, len);
    write_link(dev, told);
    now = slot_control(dev);
    if (blinks(before) && !(now & PCI_EXP_SLTCTL_PCC) &&
        (now & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_ON) {
        say_kept(dev, "the guest goes on with it");
    }
    if (is_off(now) && !is_off(before)) {
        say_off(dev);
    }
}

/* The request is lost with the other events of the slot. */
static void port_reset_hold(Object *obj, ResetType type)
{
    PCIDevice *port = PCI_DEVICE(obj);
    uint8_t *cap = port->config + port->exp.exp_cap;

    if (parent_phases.hold) {
        parent_phases.hold(obj, type);
    }
    pci_word_test_and_clear_mask(cap + PCI_EXP_SLTCTL, LINK_ENABLED);
    pci_word_test_and_clear_mask(cap + PCI_EXP_SLTSTA, LINK_CHANGED);
    say_kept(port, "the guest was reset before it had let go of it");
}

/* ------------------------------------------------------------- plugging */

static void port_pre_plug(HotplugHandler *handler, DeviceState *dev,
                          Error **errp)
{
    if (stand_in_is_alone(handler, dev, "root port",
                          "behind a root port of node 0", errp)) {
        pcie_cap_slot_pre_plug_cb(handler, dev, errp);
    }
}

static void port_unplug(HotplugHandler *handler, DeviceState *dev,
                        Error **errp)
{
    pcie_cap_slot_unplug_cb(handler, dev, errp);
    /* After a start that has failed there is none. */
    if (listener) {
        listener->gone(VPCI_STAND_IN(dev));
    }
}

static void port_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(oc);
    HotplugHandlerClass *hc = HOTPLUG_HANDLER_CLASS(oc);

    dc->desc = "PCI Express Root Port of another node";
    dc->user_creatable = false;
    parent_realize = pc->realize;
    pc->realize = port_realize;
    parent_write = pc->config_write;
    pc->config_write = port_write;
    hc->pre_plug = port_pre_plug;
    hc->unplug = port_unplug;
    resettable_class_set_parent_phases(RESETTABLE_CLASS(oc), NULL,
                                       port_reset_hold, NULL, &parent_phases);
}

static const TypeInfo port_info = {
    .name = TYPE_VPCI_PORT,
    .parent = "pcie-root-port",
    .class_init = port_class_init,
};

static void port_register_types(void)
{
    type_register_static(&port_info);
}

type_init(port_register_types)
