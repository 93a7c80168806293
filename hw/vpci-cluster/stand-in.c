/*
 * vpci-cluster: node 0's stand-in for a function of another node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-properties.h"
#include "monitor/qdev.h"
#include "qapi/error.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "boot.h"
#include "ecam.h"
#include "stand-in.h"

/* ------------------------------------------------------------------ BARs */

/*
 * A BAR is a window on the owner's addresses, at the BAR's own address: each
 * node's map shows the owner, and accesses go there in one hop.
 */
static void add_bars(StandIn *s)
{
    for (int i = 0; i < VPCI_BARS; i++) {
        const VpciBar *bar = &s->function->bar[i];
        bool ports = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
        g_autofree char *name = g_strdup_printf("distkvm-bar-%d", i);

        if (bar->size) {
            memory_region_init_alias(&s->bar[i], OBJECT(s), name,
                                     distkvm_pci_forwarder(s->node, ports), 0,
                                     bar->size);
            pci_register_bar(PCI_DEVICE(s), i, bar->type, &s->bar[i]);
        }
    }
}

/* After each change of a BAR, in the same transaction. */
static void move_windows(StandIn *s)
{
    for (int i = 0; i < VPCI_BARS; i++) {
        const PCIIORegion *region = &PCI_DEVICE(s)->io_regions[i];

        if (region->size && region->addr != PCI_BAR_UNMAPPED) {
            memory_region_set_alias_offset(&s->bar[i], region->addr);
        }
    }
}

static bool add_rom(StandIn *s, Error **errp)
{
    uint32_t bytes = s->function->rom_bytes;
    g_autofree char *name = g_strdup_printf("rom-%" PRIu64, s->generation);

    if (!bytes) {
        return true;
    }
    /*
     * By its name, which vmstate makes unique, other nodes know their copy: the
     * slot's next device has another.
     */
    if (!memory_region_init_rom(&s->rom, OBJECT(s), name, bytes, errp)) {
        return false;
    }
    memcpy(memory_region_get_ram_ptr(&s->rom), s->rom_bytes, bytes);
    pci_register_bar(PCI_DEVICE(s), PCI_ROM_SLOT, 0, &s->rom);
    return true;
}

/* --------------------------------------------------------- configuration */

static void drop(void *opaque)
{
    DEVICE(opaque)->parent_bus = NULL;
    object_unref(opaque);
}

/*
 * The BQL is dropped while a vCPU waits, and another one may eject the function
 * meanwhile.  QEMU's own part of a read looks at the device once more, and at
 * the number of its bus.  The bus is a port's, and for ever.  False: nothing
 * waited, so the function is there, and so are the bytes of its configuration.
 */
static bool cycle(StandIn *s, VpciAccess *access)
{
    BusState *bus = DEVICE(s)->parent_bus;
    bool answered;

    object_ref(OBJECT(s));
    answered = distkvm_pci_config(s->node, s->devfn, s->generation, access);
    if (qdev_is_realized(DEVICE(s))) {
        object_unref(OBJECT(s));
    } else {
        DEVICE(s)->parent_bus = bus;
        aio_bh_schedule_oneshot(qemu_get_aio_context(), drop, s);
    }
    return answered;
}

static uint32_t config_read(PCIDevice *dev, uint32_t addr, int len)
{
    VpciAccess access = { .addr = addr, .size = len, .attrs = ecam_attrs() };

    if (VPCI_STAND_IN(dev)->lost) {
        return UINT32_MAX;
    }
    if (vpci_copy_serves(addr, len) || !cycle(VPCI_STAND_IN(dev), &access)) {
        return pci_default_read_config(dev, addr, len);
    }
    return access.data;
}

static void config_write(PCIDevice *dev, uint32_t addr, uint32_t data, int len)
{
    VpciAccess access = {
        .addr = addr, .size = len, .data = data, .write = true,
        .attrs = ecam_attrs(),
    };

    if (!VPCI_STAND_IN(dev)->lost) {
        cycle(VPCI_STAND_IN(dev), &access);
    }
}

void stand_in_lose(StandIn *s)
{
    s->lost = true;
    /* As where a slot is switched off; the guest may switch it on again. */
    pci_set_power(PCI_DEVICE(s), false);
}

const char *stand_in_changed(StandIn *s, const uint8_t *changes, size_t len)
{
    PCIDevice *dev = PCI_DEVICE(s);
    uint16_t command = pci_get_word(dev->config + PCI_COMMAND);
    const char *why = vpci_changes_apply(dev->config, pci_config_size(dev),
                                         changes, len, &command);

    if (!why && len) {
        memory_region_transaction_begin();
        pci_default_write_config(dev, PCI_COMMAND, command, 2);
        move_windows(s);
        memory_region_transaction_commit();
    }
    return why;
}

/* ------------------------------------------------------------ the device */

static void stand_in_realize(PCIDevice *dev, Error **errp)
{
    StandIn *s = VPCI_STAND_IN(dev);
    const VpciFunction *f = s->function;

    add_bars(s);
    if (!add_rom(s, errp)) {
        return;
    }
    memcpy(dev->config, f->config, pci_config_size(dev));
    /* The owner has masked each write. */
    memset(dev->wmask + PCI_COMMAND, 0xff, 2);
    if (f->pm_cap) {
        dev->cap_present |= QEMU_PCI_CAP_PM;
        dev->pm_cap = f->pm_cap;
    }
    boot_add(f, dev, errp);
}

static void stand_in_exit(PCIDevice *dev)
{
    boot_remove(dev);
}

static void stand_in_reset(DeviceState *dev)
{
    StandIn *s = VPCI_STAND_IN(dev);

    if (s->lost) {
        return;
    }
    distkvm_pci_reset(s->node, s->devfn, s->generation);
}

static void stand_in_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(oc);

    dc->desc = "PCI function of another node";
    dc->user_creatable = false;
    device_class_set_legacy_reset(dc, stand_in_reset);
    pc->realize = stand_in_realize;
    pc->exit = stand_in_exit;
    pc->config_read = config_read;
    pc->config_write = config_write;
}

static const TypeInfo stand_in_info = {
    .name = TYPE_VPCI_STAND_IN,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(StandIn),
    .class_init = stand_in_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void stand_in_register_types(void)
{
    type_register_static(&stand_in_info);
}

type_init(stand_in_register_types)

/* A name that no other device has: the owner's, or its place. */
static char *name_of(unsigned node, const VpciFunction *f)
{
    return *f->id ? g_strdup_printf("node%u.%s", node, f->id)
                  : g_strdup_printf("node%u.slot%02x.%x", node,
                                    VPCI_SLOT(f->devfn),
                                    VPCI_FUNCTION(f->devfn));
}

/* A root port is a slot; else the bus has all slots of the owner. */
static uint8_t devfn_on(PCIBus *bus, uint8_t devfn)
{
    return pci_bus_is_express(bus) ? VPCI_FUNCTION(devfn) : devfn;
}

bool stand_in_is_alone(HotplugHandler *handler, DeviceState *dev,
                       const char *kind, const char *instead, Error **errp)
{
    if (object_dynamic_cast(OBJECT(dev), TYPE_VPCI_STAND_IN)) {
        return true;
    }
    if (distkvm_may_go_on(errp)) {
        error_setg(errp, "distkvm: device '%s' cannot be behind '%s', which is"
                   " another node's %s: add it on that node, or %s",
                   object_get_typename(OBJECT(dev)), DEVICE(handler)->id, kind,
                   instead);
    }
    return false;
}

StandIn *stand_in_find(PCIBus *bus, uint8_t devfn)
{
    PCIDevice *dev = bus->devices[devfn_on(bus, devfn)];

    return dev ? (StandIn *)object_dynamic_cast(OBJECT(dev),
                                                TYPE_VPCI_STAND_IN) : NULL;
}

StandIn *stand_in_new(unsigned node, const VpciFunction *function,
                      const uint8_t *rom, PCIBus *bus, bool late,
                      Error **errp)
{
    PCIDevice *dev = pci_new(devfn_on(bus, function->devfn),
                             TYPE_VPCI_STAND_IN);
    StandIn *s = VPCI_STAND_IN(dev);
    bool made;

    s->node = node;
    s->devfn = function->devfn;
    s->generation = function->generation;
    s->function = function;
    s->rom_bytes = rom;
    if (function->multifunction) {
        qdev_prop_set_bit(DEVICE(dev), "multifunction", true);
    }
    if (function->express) {
        dev->cap_present |= QEMU_PCI_CAP_EXPRESS;
    }
    /* A device of the start was there before the guest ran. */
    DEVICE(dev)->hotplugged = late;
    made = qdev_set_id(DEVICE(dev), name_of(node, function), errp) &&
           qdev_realize(DEVICE(dev), BUS(bus), errp);
    s->function = NULL;
    s->rom_bytes = NULL;
    if (!made) {
        object_unparent(OBJECT(dev));
    }
    object_unref(OBJECT(dev));
    return made ? s : NULL;
}
