/*
 * vpci-cluster: a device of this node as a description
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "describe.h"

static void describe_bars(VpciFunction *f, const PCIDevice *dev)
{
    for (int i = 0; i < VPCI_BARS; i++) {
        const PCIIORegion *region = &dev->io_regions[i];

        if (region->size) {
            f->bar[i].size = region->size;
            f->bar[i].type = region->type;
        }
    }
    if (dev->has_rom) {
        f->rom_bytes = dev->io_regions[PCI_ROM_SLOT].size;
    }
}

void describe_function(VpciFunction *f, PCIDevice *dev, uint8_t devfn)
{
    f->generation = 1;
    f->devfn = devfn;
    f->multifunction = dev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION;
    f->express = pci_config_size(dev) == VPCI_CONFIG_BYTES_MAX;
    f->pm_cap = dev->cap_present & QEMU_PCI_CAP_PM ? dev->pm_cap : 0;
    f->exp_cap = pci_is_express(dev) ? dev->exp.exp_cap : 0;
    g_strlcpy(f->id, DEVICE(dev)->id ?: "", sizeof(f->id));
    describe_bars(f, dev);
    memcpy(f->config, dev->config, pci_config_size(dev));
}
