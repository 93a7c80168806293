/*
 * vpci-cluster: boot entries of other nodes' devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/i386/x86.h"
#include "hw/nvram/fw_cfg.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/system.h"
#include "boot.h"

/* ------------------------------------------------------------- the owner */

static bool is_below(const DeviceState *dev, const DeviceState *function)
{
    while (dev && dev != function) {
        dev = dev->parent_bus ? dev->parent_bus->parent : NULL;
    }
    return dev;
}

static void add_entry(VpciFunction *f, DeviceState *entry, const char *suffix)
{
    int64_t index = object_property_get_int(OBJECT(entry), "bootindex", NULL);
    VpciBoot *boot = &f->boot[f->boots];

    if (index < 0) {
        return;
    }
    if (f->boots == VPCI_BOOTS_MAX || strlen(suffix) > VPCI_BOOT_SUFFIX_MAX) {
        warn_report("distkvm: firmware is not told of bootindex=%" PRId64 ":"
                    " a PCI function of this node can have %d boot entries,"
                    " with paths of %d characters", index, VPCI_BOOTS_MAX,
                    VPCI_BOOT_SUFFIX_MAX);
        return;
    }
    boot->index = index;
    g_strlcpy(boot->suffix, suffix, sizeof(boot->suffix));
    f->boots++;
}

void boot_describe(VpciFunction *f, PCIDevice *dev)
{
    size_t size;
    g_autofree char *list = get_boot_devices_list(&size);
    g_autofree char *path = qdev_get_fw_dev_path(DEVICE(dev));
    g_auto(GStrv) lines = g_strsplit(list ?: "", "\n", -1);

    /* The list is by index, and has a line for each device. */
    for (unsigned i = 0; lines[i]; i++) {
        DeviceState *entry = get_boot_device(i);

        if (entry && is_below(entry, DEVICE(dev)) &&
            g_str_has_prefix(lines[i], path)) {
            add_entry(f, entry, lines[i] + strlen(path));
        }
    }
}

/* ---------------------------------------------------------------- node 0 */

bool boot_add(const VpciFunction *f, PCIDevice *dev, Error **errp)
{
    for (unsigned i = 0; i < f->boots; i++) {
        Error *err = NULL;

        /* QEMU ends the process when it meets one index twice. */
        check_boot_index(f->boot[i].index, &err);
        if (err) {
            error_free(err);
            error_setg(errp, "bootindex=%u is another device's, too; give each"
                       " device of all nodes a bootindex= of its own"
                       " (-kernel has 0)",
                       f->boot[i].index);
            return false;
        }
    }
    for (unsigned i = 0; i < f->boots; i++) {
        add_boot_device_path(f->boot[i].index, DEVICE(dev), f->boot[i].suffix);
    }
    return true;
}

void boot_remove(PCIDevice *dev)
{
    /* One entry at a time. */
    for (unsigned i = 0; i < VPCI_BOOTS_MAX; i++) {
        del_boot_device_path(DEVICE(dev), NULL);
    }
}

void boot_tell_firmware(void)
{
    size_t size;
    char *list = get_boot_devices_list(&size);

    /* As QEMU does in each reset; that of the start has been. */
    g_free(fw_cfg_modify_file(X86_MACHINE(qdev_get_machine())->fw_cfg,
                              "bootorder", list, size));
}
