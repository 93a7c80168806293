/*
 * vpci-cluster: the bus that a follower's PCI devices are on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/hotplug.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie_port.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#include "qapi/error.h"
#include "system/distkvm-pci.h"
#include "describe.h"
#include "owner-bus.h"

#define IO_PORTS 0x10000
/* A pair of these that no port of the command line has. */
#define OWN_CHASSIS 0xff
#define IRQS 256

static OwnerHost *the_host;

OwnerHost *owner_host(void)
{
    return the_host;
}

bool vpci_owns(DeviceState *dev)
{
    BusState *bus = dev->parent_bus;

    while (the_host && bus && bus->parent != DEVICE(the_host)) {
        bus = bus->parent ? bus->parent->parent_bus : NULL;
    }
    return the_host && bus;
}

/* ----------------------------------------------------------------- slots */

unsigned owner_slots(const OwnerHost *host)
{
    if (host->express) {
        return host->ports->len;
    }
    return QTAILQ_EMPTY(&BUS(PCI_HOST_BRIDGE(host)->bus)->children)
           ? 0 : VPCI_SLOTS_MAX;
}

PCIBus *owner_bus(const OwnerHost *host, unsigned slot)
{
    const OwnerPort *port;

    if (!host->express) {
        return PCI_HOST_BRIDGE(host)->bus;
    }
    if (!slot || slot > host->ports->len) {
        return NULL;
    }
    port = g_ptr_array_index(host->ports, slot - 1);
    return pci_bridge_get_sec_bus(PCI_BRIDGE(port->dev));
}

PCIDevice *owner_function(const OwnerHost *host, uint8_t devfn)
{
    PCIBus *bus = owner_bus(host, VPCI_SLOT(devfn));

    return !bus ? NULL : bus->devices[host->express ? VPCI_FUNCTION(devfn)
                                                    : devfn];
}

static unsigned slot_of_port(const OwnerPort *port)
{
    guint index = 0;

    g_ptr_array_find(port->host->ports, port, &index);
    return index + 1;
}

uint8_t owner_devfn(const OwnerHost *host, const PCIDevice *dev)
{
    for (guint i = 0; i < host->ports->len; i++) {
        const OwnerPort *port = g_ptr_array_index(host->ports, i);

        if (pci_get_bus(dev)->parent_dev == port->dev) {
            return VPCI_DEVFN(i + 1, VPCI_FUNCTION(dev->devfn));
        }
    }
    return dev->devfn;
}

uint32_t owner_hotplug_slots(const OwnerHost *host)
{
    uint32_t slots = 0;

    if (!host->express) {
        return host->slots.n ? ~UINT32_C(1) : 0;
    }
    for (guint i = 0; i < host->ports->len; i++) {
        const OwnerPort *port = g_ptr_array_index(host->ports, i);

        slots |= (uint32_t)PCIE_SLOT(port->dev)->hotplug << (i + 1);
    }
    return slots;
}

uint64_t owner_rom_bytes(const OwnerHost *host, uint32_t slots)
{
    uint64_t bytes = 0;

    for (unsigned devfn = 0; devfn <= UINT8_MAX; devfn++) {
        PCIDevice *dev = slots >> VPCI_SLOT(devfn) & 1
            ? owner_function(host, devfn) : NULL;

        bytes += dev && dev->has_rom ? memory_region_size(&dev->rom) : 0;
    }
    return bytes;
}

/* ------------------------------------------------------------ interrupts */

/*
 * Node 0 hears of a line while it has a stand-in; news of that come another
 * way than the line does.
 */
void owner_line(const OwnerHost *host, uint8_t devfn, bool level)
{
    const VpciSlot *slot = &host->slots.slot[VPCI_SLOT(devfn)];

    if (slot->state == VPCI_SLOT_OCCUPIED ||
        slot->state == VPCI_SLOT_EJECTING) {
        distkvm_pci_line(devfn, slot->generation, level);
    }
}

/*
 * Functions are told apart, since node 0 swizzles their pins.  A function has
 * one pin.  When the guest enables INTx, QEMU calls set_irq() for all four, and
 * those that the function has not must not lower its line.
 */
static int map_irq(PCIDevice *dev, int pin)
{
    return dev->devfn;
}

static void set_root_irq(void *opaque, int irq, int level)
{
    owner_line(opaque, irq, level);
}

static void set_port_irq(void *opaque, int irq, int level)
{
    const OwnerPort *port = opaque;

    owner_line(port->host,
               VPCI_DEVFN(slot_of_port(port), VPCI_FUNCTION(irq)), level);
}

/* ----------------------------------------------------------------- ports */

/* BARs of functions behind ports are in no window: nobody sets any here. */
static void show_memory_of_port(OwnerHost *host, OwnerPort *port, PCIBus *bus)
{
    memory_region_init_alias(&port->mem, OBJECT(port->dev), "distkvm-behind",
                             bus->address_space_mem, 0, UINT64_MAX);
    memory_region_add_subregion_overlap(&host->all_mem, 0, &port->mem, 0);
    memory_region_init_alias(&port->io, OBJECT(port->dev), "distkvm-behind-io",
                             bus->address_space_io, 0, IO_PORTS);
    memory_region_add_subregion_overlap(&host->all_io, 0, &port->io, 0);
}

static int compare_ports(gconstpointer a, gconstpointer b)
{
    const OwnerPort *const *one = a, *const *other = b;

    return (*one)->dev->devfn - (*other)->dev->devfn;
}

static void take_port(OwnerHost *host, PCIDevice *dev)
{
    PCIBus *bus = pci_bridge_get_sec_bus(PCI_BRIDGE(dev));
    OwnerPort *port = g_new0(OwnerPort, 1);

    port->host = host;
    port->dev = dev;
    show_memory_of_port(host, port, bus);
    g_ptr_array_add(host->ports, port);
    g_ptr_array_sort(host->ports, compare_ports);
    pci_bus_irqs(bus, set_port_irq, port, IRQS);
    pci_bus_map_irqs(bus, map_irq);
    /* In place of the port: the guest sees node 0's. */
    qbus_set_hotplug_handler(BUS(bus), OBJECT(host));
}

/* ------------------------------------------------------------- plugging */

static bool is_root_port(const DeviceState *dev)
{
    return object_dynamic_cast(OBJECT(dev), TYPE_PCIE_ROOT_PORT);
}

/* The first free device number of @bus, or -1. */
static int free_slot(PCIBus *bus)
{
    for (int slot = 1; slot < PCI_SLOT_MAX; slot++) {
        if (!bus->devices[PCI_DEVFN(slot, 0)]) {
            return slot;
        }
    }
    return -1;
}

/* The root port in @slot, made if there is none. */
static PCIDevice *port_in_slot(PCIBus *root, int slot, Error **errp)
{
    PCIDevice *port = root->devices[PCI_DEVFN(slot, 0)];

    if (port) {
        if (!is_root_port(DEVICE(port))) {
            error_setg(errp, "distkvm: slot %d is taken by '%s'", slot,
                       port->name);
            return NULL;
        }
        return port;
    }
    port = pci_new(PCI_DEVFN(slot, 0), "pcie-root-port");
    qdev_prop_set_uint8(DEVICE(port), "chassis", OWN_CHASSIS);
    qdev_prop_set_uint16(DEVICE(port), "slot", slot);
    return pci_realize_and_unref(port, root, errp) ? port : NULL;
}

/*
 * Node 0's bus for other nodes' devices takes bridges only.  A device that the
 * command line puts into a slot of this bus is therefore behind a root port in
 * that slot, with all functions of the slot.
 */
static bool move_behind_port(PCIDevice *dev, PCIBus *root, Error **errp)
{
    int slot = dev->devfn < 0 ? free_slot(root) : PCI_SLOT(dev->devfn);
    PCIDevice *port;

    if (slot < 0) {
        error_setg(errp, "distkvm: this node's bus '%s' has no free slot",
                   BUS(root)->name);
        return false;
    }
    port = port_in_slot(root, slot, errp);
    if (!port) {
        return false;
    }
    dev->devfn = PCI_DEVFN(0, dev->devfn < 0 ? 0 : PCI_FUNC(dev->devfn));
    return qdev_set_parent_bus(
        DEVICE(dev), BUS(pci_bridge_get_sec_bus(PCI_BRIDGE(port))), errp);
}

/*
 * owner_plug() would see it, too, but QEMU's nvme aborts when it is taken back
 * with virtual functions.
 */
static bool has_virtual_functions(DeviceState *dev)
{
    return object_property_find(OBJECT(dev), "sriov_max_vfs") &&
           object_property_get_uint(OBJECT(dev), "sriov_max_vfs", NULL);
}

/* virtio-net, which waits for a second NIC to take its place. */
static bool is_standby(DeviceState *dev)
{
    return object_property_find(OBJECT(dev), "failover") &&
           object_property_get_bool(OBJECT(dev), "failover", NULL);
}

static const char *check_port(const OwnerHost *host, DeviceState *dev,
                              bool on_root)
{
    if (object_dynamic_cast(OBJECT(dev), "cxl-rp")) {
        return "is a CXL port; use pcie-root-port";
    }
    if (!host->express) {
        return "is a root port of PCI Express, which this machine has not; use"
               " -machine q35";
    }
    return on_root ? NULL
                   : "is a root port behind another one; leave out its bus=";
}

/* Of facts that no description shows: the fault, after "it ", or NULL. */
static const char *check_properties(const OwnerHost *host, DeviceState *dev,
                                    bool on_root)
{
    if (is_root_port(dev)) {
        return check_port(host, dev, on_root);
    }
    if (has_virtual_functions(dev)) {
        return "has SR-IOV; use sriov_max_vfs=0";
    }
    if (PCI_DEVICE(dev)->failover_pair_id) {
        return "is one of a failover pair, which is for migration; leave out"
               " failover_pair_id=";
    }
    if (is_standby(dev)) {
        return "is one of a failover pair, which is for migration; use"
               " failover=off";
    }
    if (!on_root && PCI_DEVICE(dev)->devfn > VPCI_DEVFN(0, 7)) {
        return "is behind a root port, which has device 0 only; leave out"
               " addr=, or use addr=0 with a function";
    }
    return NULL;
}

static void pre_plug_late(OwnerHost *host, PCIDevice *dev, Error **errp)
{
    if (host->plugging) {
        host->plugging->pre_plug(host, dev, errp);
    } else if (distkvm_pci_may_plug(errp)) {
        error_setg(errp, "distkvm: node %d is not ready for more devices; try"
                   " again", host->node);
    }
}

static void owner_pre_plug(HotplugHandler *handler, DeviceState *dev,
                           Error **errp)
{
    OwnerHost *host = VPCI_OWNER_HOST(handler);
    bool on_root = dev->parent_bus == BUS(PCI_HOST_BRIDGE(host)->bus);
    const char *why = check_properties(host, dev, on_root);

    if (pci_is_vf(PCI_DEVICE(dev))) {
        /* Its physical function is refused as soon as it is here itself. */
    } else if (why) {
        error_setg(errp, "distkvm: device '%s' cannot work on node %d: it %s",
                   object_get_typename(OBJECT(dev)), host->node, why);
    } else if (dev->hotplugged) {
        pre_plug_late(host, PCI_DEVICE(dev), errp);
    } else if (on_root && is_root_port(dev) && host->ports->len == VPCI_SLOTS_MAX) {
        error_setg(errp, "distkvm: node %d has %d root ports, and no more can"
                   " be; use multifunction=on", host->node, VPCI_SLOTS_MAX);
    } else if (on_root && host->express && !is_root_port(dev)) {
        move_behind_port(PCI_DEVICE(dev), PCI_HOST_BRIDGE(host)->bus, errp);
    }
}

static void owner_plug(HotplugHandler *handler, DeviceState *dev, Error **errp)
{
    g_autofree VpciFunction *f = g_new0(VpciFunction, 1);
    OwnerHost *host = VPCI_OWNER_HOST(handler);
    const char *why;

    if (is_root_port(dev)) {
        take_port(host, PCI_DEVICE(dev));
        return;
    }
    if (pci_is_vf(PCI_DEVICE(dev))) {
        /* Its physical function is refused as soon as it is here itself. */
        return;
    }
    describe_function(f, PCI_DEVICE(dev), owner_devfn(host, PCI_DEVICE(dev)));
    why = vpci_function_check(f, VPCI_SLOTS_MAX);
    /* Node 0 keeps those of the start until all nodes have told of theirs. */
    if (!why && !host->plugging &&
        owner_rom_bytes(host, UINT32_MAX) > VPCI_ROMS_BYTES_MAX) {
        why = "has a ROM with which this node's have more than 64 MiB; leave it"
              " out with romfile= or rombar=0";
    }
    if (why) {
        error_setg(errp, "distkvm: device '%s' cannot work on node %d: it %s",
                   object_get_typename(OBJECT(dev)), host->node, why);
    } else if (host->plugging) {
        host->plugging->plug(host, PCI_DEVICE(dev), errp);
    }
}

static void owner_unplug_request(HotplugHandler *handler, DeviceState *dev,
                                 Error **errp)
{
    OwnerHost *host = VPCI_OWNER_HOST(handler);

    if (host->plugging && !is_root_port(dev)) {
        host->plugging->unplug_request(host, PCI_DEVICE(dev), errp);
        return;
    }
    error_setg(errp, "distkvm: device '%s' stays: the guest sees it from the"
               " start; start all nodes again without it",
               dev->id ?: object_get_typename(OBJECT(dev)));
}

/* ------------------------------------------------------------- the host */

static const char *owner_root_bus_path(PCIHostState *host, PCIBus *bus)
{
    return VPCI_OWNER_HOST(host)->path;
}

static void owner_realize(DeviceState *dev, Error **errp)
{
    OwnerHost *host = VPCI_OWNER_HOST(dev);
    PCIHostState *pci = PCI_HOST_BRIDGE(dev);

    memory_region_init(&host->mem, OBJECT(dev), "distkvm-pci-memory",
                       UINT64_MAX);
    memory_region_init(&host->io, OBJECT(dev), "distkvm-pci-ports", IO_PORTS);
    memory_region_init(&host->all_mem, OBJECT(dev), "distkvm-pci-all",
                       UINT64_MAX);
    memory_region_init(&host->all_io, OBJECT(dev), "distkvm-pci-all-ports",
                       IO_PORTS);
    memory_region_add_subregion_overlap(&host->all_mem, 0, &host->mem, 1);
    memory_region_add_subregion_overlap(&host->all_io, 0, &host->io, 1);
    host->path = g_strdup_printf("node%d:00", host->node);
    host->ports = g_ptr_array_new_with_free_func(g_free);
    pci->bus = pci_register_root_bus(dev, host->name, set_root_irq, map_irq,
                                     host, &host->mem, &host->io,
                                     VPCI_DEVFN(1, 0), IRQS,
                                     host->express ? TYPE_PCIE_BUS
                                                   : TYPE_PCI_BUS);
    qbus_set_hotplug_handler(BUS(pci->bus), OBJECT(dev));
}

static void owner_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIHostBridgeClass *pc = PCI_HOST_BRIDGE_CLASS(oc);
    HotplugHandlerClass *hc = HOTPLUG_HANDLER_CLASS(oc);

    dc->desc = "PCI devices of a follower";
    dc->realize = owner_realize;
    dc->user_creatable = false;
    dc->fw_name = "pci";
    set_bit(DEVICE_CATEGORY_BRIDGE, dc->categories);
    pc->root_bus_path = owner_root_bus_path;
    hc->pre_plug = owner_pre_plug;
    hc->plug = owner_plug;
    hc->unplug_request = owner_unplug_request;
}

static const TypeInfo owner_host_info = {
    .name = TYPE_VPCI_OWNER_HOST,
    .parent = TYPE_PCI_HOST_BRIDGE,
    .instance_size = sizeof(OwnerHost),
    .class_init = owner_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_HOTPLUG_HANDLER },
        { }
    },
};

static void owner_register_types(void)
{
    type_register_static(&owner_host_info);
}

type_init(owner_register_types)

/* ----------------------------------------------- in the chipset's place */

static unsigned this_node;

/*
 * The chipset's bridge has come up, and the board goes on to put its own
 * devices there; -device comes later, and prefers a bus that is not full.
 */
static void chipset_is_there(DeviceListener *listener, DeviceState *dev)
{
    PCIHostState *pci = (PCIHostState *)
        object_dynamic_cast(OBJECT(dev), TYPE_PCI_HOST_BRIDGE);
    DeviceState *ours;

    if (!pci || !pci->bus || the_host) {
        return;
    }
    BUS(pci->bus)->full = true;
    ours = qdev_new(TYPE_VPCI_OWNER_HOST);
    the_host = VPCI_OWNER_HOST(ours);
    the_host->node = this_node;
    the_host->express = pci_bus_is_express(pci->bus);
    the_host->name = g_strdup(BUS(pci->bus)->name);
    object_property_add_child(qdev_get_machine(), "distkvm-pci",
                              OBJECT(ours));
    sysbus_realize_and_unref(SYS_BUS_DEVICE(ours), &error_fatal);
}

static DeviceListener listener = {
    .realize = chipset_is_there,
};

void vpci_own(unsigned node)
{
    this_node = node;
    device_listener_register(&listener);
}
