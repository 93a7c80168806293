/*
 * vpci-cluster: node 0's stand-in for a function of another node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-properties.h"
#include "monitor/qdev.h"
#include "qapi/error.h"
#include "system/distkvm-pci.h"
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

    if (!bytes) {
        return true;
    }
    /* By its name, which vmstate makes unique, other nodes know their copy. */
    if (!memory_region_init_rom(&s->rom, OBJECT(s), "rom", bytes, errp)) {
        return false;
    }
    memcpy(memory_region_get_ram_ptr(&s->rom), s->rom_bytes, bytes);
    pci_register_bar(PCI_DEVICE(s), PCI_ROM_SLOT, 0, &s->rom);
    return true;
}

/* --------------------------------------------------------- configuration */

static uint32_t config_read(PCIDevice *dev, uint32_t addr, int len)
{
    StandIn *s = VPCI_STAND_IN(dev);
    VpciAccess access = { .addr = addr, .size = len };

    if (vpci_copy_serves(addr, len) ||
        !distkvm_pci_config(s->node, s->devfn, &access)) {
        return pci_default_read_config(dev, addr, len);
    }
    return access.data;
}

static void config_write(PCIDevice *dev, uint32_t addr, uint32_t data, int len)
{
    StandIn *s = VPCI_STAND_IN(dev);
    VpciAccess access = {
        .addr = addr, .size = len, .data = data, .write = true,
    };

    distkvm_pci_config(s->node, s->devfn, &access);
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
}

static void stand_in_reset(DeviceState *dev)
{
    StandIn *s = VPCI_STAND_IN(dev);

    distkvm_pci_reset(s->node, s->devfn);
}

static void stand_in_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(oc);

    dc->desc = "PCI function of another node";
    dc->user_creatable = false;
    device_class_set_legacy_reset(dc, stand_in_reset);
    pc->realize = stand_in_realize;
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

static void refuse_unplug(DeviceState *dev)
{
    static Error *blocker;

    if (!blocker) {
        error_setg(&blocker, "distkvm: this is a device of another node, which"
                   " has it from the start; start all nodes again without it");
    }
    qdev_add_unplug_blocker(dev, blocker);
}

StandIn *stand_in_new(unsigned node, const VpciFunction *function,
                      const uint8_t *rom, PCIBus *bus, uint8_t devfn,
                      Error **errp)
{
    PCIDevice *dev = pci_new(devfn, TYPE_VPCI_STAND_IN);
    StandIn *s = VPCI_STAND_IN(dev);
    bool made;

    s->node = node;
    s->devfn = function->devfn;
    s->function = function;
    s->rom_bytes = rom;
    if (function->multifunction) {
        qdev_prop_set_bit(DEVICE(dev), "multifunction", true);
    }
    if (function->express) {
        dev->cap_present |= QEMU_PCI_CAP_EXPRESS;
    }
    /* It was there before the guest ran. */
    DEVICE(dev)->hotplugged = false;
    made = qdev_set_id(DEVICE(dev), name_of(node, function), errp) &&
           qdev_realize(DEVICE(dev), BUS(bus), errp);
    s->function = NULL;
    s->rom_bytes = NULL;
    if (made) {
        refuse_unplug(DEVICE(dev));
    } else {
        object_unparent(OBJECT(dev));
    }
    object_unref(OBJECT(dev));
    return made ? s : NULL;
}
