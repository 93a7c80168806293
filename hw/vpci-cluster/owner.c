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
#include "system/reset.h"
#include "boot.h"
#include "config-copy.h"
#include "describe.h"
#include "function-pack.h"
#include "owner.h"

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
void owner_tell(const OwnerHost *host, PCIDevice *dev, const VpciTell *tell)
{
    g_autofree VpciFunction *f = g_new0(VpciFunction, 1);
    g_autofree uint8_t *bytes = g_malloc(VPCI_FUNCTION_BYTES_MAX);
    uint8_t devfn = owner_devfn(host, dev);

    describe_function(f, dev, devfn);
    f->generation = host->slots.slot[VPCI_SLOT(devfn)].generation;
    boot_describe(f, dev);
    g_hash_table_insert(told, dev, g_memdup2(f->config, pci_config_size(dev)));
    tell->function(bytes, vpci_function_pack(f, bytes));
    tell_rom(tell, f, dev);
}

void owner_forget(PCIDevice *dev)
{
    g_hash_table_remove(told, dev);
}

void owner_start(void)
{
    told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    /* Behind the machine's, which was registered before. */
    qemu_register_reset(all_were_reset, NULL);
}

/* --------------------------------------------------------------- serving */

/*
 * *@dev is the function of which node 0 speaks, or NULL if it has gone.  False:
 * there never was one.
 */
static bool reach(uint8_t devfn, uint64_t generation, PCIDevice **dev)
{
    const OwnerHost *host = owner_host();
    VpciSlotResult result = !host ? VPCI_SLOT_BROKEN
        : vpci_slots_reach(&host->slots, devfn, generation);

    *dev = result == VPCI_SLOT_OK ? owner_function(host, devfn) : NULL;
    return result != VPCI_SLOT_BROKEN;
}

static GByteArray *perform(PCIDevice *dev, VpciAccess *access)
{
    unsigned bytes = pci_config_size(dev);
    GByteArray *changes;
    uint8_t *config;

    if (access->addr > bytes - access->size) {
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

GByteArray *vpci_serve_config(uint8_t devfn, uint64_t generation,
                              VpciAccess *access)
{
    PCIDevice *dev;

    if (!reach(devfn, generation, &dev)) {
        return NULL;
    }
    if (!dev) {
        access->data = UINT32_MAX >> (32 - access->size * 8);
        return g_byte_array_new();
    }
    return perform(dev, access);
}

Object *vpci_function(uint8_t devfn, uint64_t generation)
{
    PCIDevice *dev;

    return reach(devfn, generation, &dev) && dev ? OBJECT(dev) : NULL;
}

MemoryRegion *vpci_own_space(bool ports)
{
    OwnerHost *host = owner_host();

    return !host ? NULL : ports ? &host->all_io : &host->all_mem;
}

bool vpci_serve_reset(uint8_t devfn, uint64_t generation)
{
    PCIDevice *dev;

    if (!reach(devfn, generation, &dev)) {
        return false;
    }
    if (dev) {
        /* With the header, as node 0 does with its copy. */
        pci_device_reset(dev);
        header_was_reset(dev);
    }
    return true;
}
