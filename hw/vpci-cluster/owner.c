/*
 * vpci-cluster: a follower's functions, as node 0 asks for them
 *
 * The owner's device has the configuration space: each cycle of the guest is
 * performed here, and the answer says which bytes it changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/pci/pci_bus.h"
#include "system/distkvm-pci.h"
#include "system/reset.h"
#include "config-copy.h"
#include "describe.h"
#include "owner-bus.h"

/* Configuration space as node 0 knows it, by PCIDevice. */
static GHashTable *told;

/* --------------------------------------------------------------- resets */

/* Node 0's stand-in is reset as well, and its header with it. */
static void header_was_reset(PCIDevice *dev)
{
    memcpy(g_hash_table_lookup(told, dev), dev->config,
           PCI_CONFIG_HEADER_SIZE);
}

/* A reset of the cluster, after that of all devices. */
static void all_were_reset(void *unused)
{
    GHashTableIter iter;
    gpointer dev;

    g_hash_table_iter_init(&iter, told);
    while (g_hash_table_iter_next(&iter, &dev, NULL)) {
        header_was_reset(dev);
    }
}

/* --------------------------------------------------------------- telling */

static void tell_rom(const VpciTell *tell, const VpciFunction *f,
                     PCIDevice *dev)
{
    const uint8_t *rom = f->rom_bytes ? memory_region_get_ram_ptr(&dev->rom)
                                      : NULL;

    for (uint32_t at = 0; at < f->rom_bytes; at += VPCI_ROM_CHUNK) {
        tell->rom(f->devfn, at, rom + at,
                  MIN(f->rom_bytes - at, VPCI_ROM_CHUNK));
    }
}

/* Only devices that can have a stand-in are here: owner-bus.c. */
static void tell_one(const VpciTell *tell, PCIDevice *dev, uint8_t devfn)
{
    g_autofree VpciFunction *f = g_new0(VpciFunction, 1);
    g_autofree uint8_t *bytes = g_malloc(VPCI_FUNCTION_BYTES_MAX);

    describe_function(f, dev, devfn);
    g_hash_table_insert(told, dev, g_memdup2(f->config, pci_config_size(dev)));
    tell->function(bytes, vpci_function_pack(f, bytes));
    tell_rom(tell, f, dev);
}

void vpci_describe(const VpciTell *tell)
{
    const OwnerHost *host = owner_host();

    told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    for (unsigned devfn = 0; host && devfn <= UINT8_MAX; devfn++) {
        PCIDevice *dev = owner_function(host, devfn);

        if (dev) {
            tell_one(tell, dev, devfn);
        }
    }
    tell->end(host ? owner_slots(host) : 0);
    /* Behind the machine's, which was registered before. */
    qemu_register_reset(all_were_reset, NULL);
}

/* --------------------------------------------------------------- serving */

/* The function at @devfn, of which node 0 was told, or NULL. */
static PCIDevice *told_function(uint8_t devfn)
{
    const OwnerHost *host = owner_host();
    PCIDevice *dev = host ? owner_function(host, devfn) : NULL;

    return dev && told && g_hash_table_contains(told, dev) ? dev : NULL;
}

GByteArray *vpci_serve_config(uint8_t devfn, VpciAccess *access)
{
    PCIDevice *dev = told_function(devfn);
    unsigned bytes = dev ? pci_config_size(dev) : 0;
    GByteArray *changes;
    uint8_t *config;

    if (!dev || access->addr > bytes - access->size) {
        return NULL;
    }
    if (access->write) {
        pci_host_config_write_common(dev, access->addr, bytes, access->data,
                                     access->size);
    } else {
        access->data = pci_host_config_read_common(dev, access->addr, bytes,
                                                   access->size);
    }
    config = g_hash_table_lookup(told, dev);
    changes = g_byte_array_new();
    g_byte_array_set_size(changes, VPCI_CHANGES_BYTES_MAX);
    g_byte_array_set_size(changes, vpci_changes_list(config, dev->config, bytes,
                                                     changes->data));
    memcpy(config, dev->config, bytes);
    return changes;
}

MemoryRegion *vpci_own_space(bool ports)
{
    OwnerHost *host = owner_host();

    return !host ? NULL : ports ? &host->all_io : &host->all_mem;
}

void vpci_serve_reset(uint8_t devfn)
{
    PCIDevice *dev = told_function(devfn);

    if (dev) {
        device_cold_reset(DEVICE(dev));
        header_was_reset(dev);
    }
}
