/*
 * vpci-cluster: query-distkvm-pci
 *
 * Node 0 has the guest's whole tree, its own functions and stand-ins; any other
 * node has its own functions.  All of it is here: no peer is asked.  Main loop,
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm-pci.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/pci/pci_bus.h"
#include "system/distkvm.h"
#include "system/numa.h"
#include "owner-bus.h"
#include "plug.h"
#include "stand-in.h"

typedef struct Answer {
    DistKVMPciFunctionList *list, **tail;
    bool config;                /* with the bytes of configuration spaces    */
} Answer;

static void add_region(DistKVMPciRegionList ***tail, const PCIDevice *dev,
                       int bar)
{
    const PCIIORegion *region = &dev->io_regions[bar];
    bool memory = !(region->type & PCI_BASE_ADDRESS_SPACE_IO);
    DistKVMPciRegion *info;

    if (!region->size) {
        return;
    }
    info = g_new0(DistKVMPciRegion, 1);
    info->bar = bar;
    info->memory = memory;
    info->rom = bar == PCI_ROM_SLOT;
    info->wide = memory && region->type & PCI_BASE_ADDRESS_MEM_TYPE_64;
    info->prefetch = memory && region->type & PCI_BASE_ADDRESS_MEM_PREFETCH;
    info->bytes = region->size;
    info->has_address = region->addr != PCI_BAR_UNMAPPED;
    info->address = info->has_address ? region->addr : 0;
    QAPI_LIST_APPEND(*tail, info);
}

/* Add the part that each node knows. */
static DistKVMPciFunction *add_function(Answer *answer, const PCIDevice *dev,
                                        unsigned owner, const char *id)
{
    DistKVMPciFunction *info = g_new0(DistKVMPciFunction, 1);
    DistKVMPciRegionList **tail = &info->regions;

    info->owner = owner;
    info->id = g_strdup(id);
    info->q_class = pci_get_word(dev->config + PCI_CLASS_DEVICE);
    info->vendor = pci_get_word(dev->config + PCI_VENDOR_ID);
    info->device = pci_get_word(dev->config + PCI_DEVICE_ID);
    info->bus_master = pci_get_word(dev->config + PCI_COMMAND) &
                       PCI_COMMAND_MASTER;
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        add_region(&tail, dev, i);
    }
    if (answer->config) {
        info->config = g_base64_encode(dev->config, pci_config_size(dev));
    }
    QAPI_LIST_APPEND(answer->tail, info);
    return info;
}

static DistKVMPciSlot *slot_new(uint8_t devfn)
{
    DistKVMPciSlot *slot = g_new0(DistKVMPciSlot, 1);

    slot->slot = PCI_SLOT(devfn);
    slot->function = PCI_FUNC(devfn);
    return slot;
}

/* ---------------------------------------------------------------- node 0 */

static void set_numa_node(DistKVMPciFunction *info, const PCIDevice *dev)
{
    int node = pci_bus_numa_node(pci_device_root_bus(dev));

    info->has_numa_node = node != NUMA_NODE_UNASSIGNED;
    info->numa_node = info->has_numa_node ? node : 0;
}

static void add_of_tree(PCIBus *bus, PCIDevice *dev, void *opaque)
{
    StandIn *s = (StandIn *)object_dynamic_cast(OBJECT(dev),
                                                TYPE_VPCI_STAND_IN);
    DistKVMPciFunction *info = add_function(opaque, dev, s ? s->node : 0,
                                            DEVICE(dev)->id);

    info->has_bus = true;
    info->bus = pci_bus_num(bus);
    info->at = slot_new(dev->devfn);
    if (s) {
        info->at_owner = slot_new(s->devfn);
        info->has_state = true;
        info->state = plug_state(s);
    }
    set_numa_node(info, dev);
}

static void add_bus(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, add_of_tree, opaque);
}

/* ------------------------------------------------------------- the owner */

static void set_state(DistKVMPciFunction *info, const OwnerHost *host,
                      uint8_t devfn)
{
    static const DistKVMPciState states[VPCI_SLOT__MAX] = {
        [VPCI_SLOT_EMPTY] = DIST_KVM_PCI_STATE_GONE,
        [VPCI_SLOT_PLUGGING] = DIST_KVM_PCI_STATE_PLUGGING,
        [VPCI_SLOT_OCCUPIED] = DIST_KVM_PCI_STATE_USED,
        [VPCI_SLOT_EJECTING] = DIST_KVM_PCI_STATE_LEAVING,
        [VPCI_SLOT_GONE] = DIST_KVM_PCI_STATE_GONE,
    };

    info->has_state = true;
    /* Node 0 has not been told of any before that. */
    info->state = host->plugging
        ? states[host->slots.slot[VPCI_SLOT(devfn)].state]
        : DIST_KVM_PCI_STATE_PLUGGING;
}

static void add_own(const OwnerHost *host, Answer *answer)
{
    for (unsigned devfn = 0; devfn <= UINT8_MAX; devfn++) {
        const PCIDevice *dev = owner_function(host, devfn);
        DistKVMPciFunction *info;

        if (dev) {
            info = add_function(answer, dev, host->node, DEVICE(dev)->id);
            info->at_owner = slot_new(devfn);
            set_state(info, host, devfn);
        }
    }
}

DistKVMPciFunctionList *qmp_query_distkvm_pci(bool has_config, bool config,
                                              Error **errp)
{
    Answer answer = { .tail = &answer.list, .config = config };
    PCIBus *root;

    if (!distkvm_enabled()) {
        error_setg(errp, "-accel distkvm is not in use");
        return NULL;
    }
    if (owner_host()) {
        add_own(owner_host(), &answer);
        return answer.list;
    }
    root = PC_MACHINE(qdev_get_machine())->pcibus;
    if (root) {
        pci_for_each_bus(root, add_bus, &answer);
    }
    return answer.list;
}
