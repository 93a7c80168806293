/*
 * vpci-cluster: the bridges on node 0 that other nodes' functions are behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_host.h"
#include "hw/pci/pcie_host.h"
#include "hw/pci/pcie_port.h"
#include "hw/qdev-properties.h"
#include "monitor/qdev.h"
#include "qapi/error.h"
#include "bridge.h"
#include "ecam.h"
#include "port.h"
#include "tree.h"

static PCIBus *buses[VPCI_NODES_MAX][VPCI_SLOTS_MAX + 1];

static PCIBus *root_bus(void)
{
    return PC_MACHINE(qdev_get_machine())->pcibus;
}

/* ----------------------------------------------------------- node 0's own */

static void add_bars(VpciBoard *board, const PCIDevice *dev)
{
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        const PCIIORegion *region = &dev->io_regions[i];

        if (region->type & PCI_BASE_ADDRESS_SPACE_IO) {
            board->io += region->size;
        } else {
            board->mem += region->size;
        }
    }
}

static void add_device(PCIBus *bus, PCIDevice *dev, void *opaque)
{
    VpciBoard *board = opaque;

    if (bus == root_bus()) {
        board->devices |= UINT32_C(1) << PCI_SLOT(dev->devfn);
    }
    add_bars(board, dev);
}

static void add_bus(PCIBus *bus, void *opaque)
{
    VpciBoard *board = opaque;

    board->buses++;
    pci_for_each_device_under_bus(bus, add_device, board);
}

void tree_describe_board(VpciOptions *options)
{
    PCMachineState *pcms = PC_MACHINE(qdev_get_machine());

    options->machine = pci_bus_is_express(root_bus()) ? VPCI_Q35 : VPCI_PC;
    options->firmware = pcms->flash[0] &&
                        pflash_cfi01_get_blk(pcms->flash[0]) ? VPCI_OVMF
                                                             : VPCI_SEABIOS;
    options->board = (VpciBoard) {
        .low_ram = X86_MACHINE(pcms)->below_4g_mem_size,
    };
    pci_for_each_bus(root_bus(), add_bus, &options->board);
}

/* --------------------------------------------------------------- bridges */

/* Made after the start of the machine, and yet there before the guest is. */
static bool realize_cold(PCIDevice *dev, PCIBus *bus, char *id, Error **errp)
{
    bool made;

    DEVICE(dev)->hotplugged = false;
    made = qdev_set_id(DEVICE(dev), id, errp) &&
           qdev_realize(DEVICE(dev), BUS(bus), errp);
    if (made) {
        /* The machine's was before: registers are as after any other reset. */
        device_cold_reset(DEVICE(dev));
    } else {
        object_unparent(OBJECT(dev));
    }
    object_unref(OBJECT(dev));
    return made;
}

static PCIBus *bus_below(PCIBus *above, const PCIDevice *bridge)
{
    PCIBus *bus;

    QLIST_FOREACH(bus, &above->child, sibling) {
        if (bus->parent_dev == bridge) {
            return bus;
        }
    }
    g_assert_not_reached();
}

/* Without it firmware gives a window for the devices that it finds. */
static void reserve(DeviceState *bridge, const char *name, uint64_t bytes)
{
    if (bytes) {
        qdev_prop_set_uint64(bridge, name, bytes);
    }
}

static PCIDevice *bridge_new(const VpciPlan *plan, unsigned node)
{
    const VpciBridge *bridge = &plan->bridge[node];
    MachineState *ms = MACHINE(qdev_get_machine());
    PCIDevice *dev = pci_new_multifunction(
        bridge->devfn, plan->machine == VPCI_Q35 ? "pxb-pcie"
                                                 : TYPE_VPCI_BRIDGE);

    qdev_prop_set_bit(DEVICE(dev), "multifunction", bridge->multifunction);
    if (plan->machine == VPCI_Q35) {
        qdev_prop_set_uint8(DEVICE(dev), "bus_nr", bridge->bus_nr);
        if (ms->numa_state && node < ms->numa_state->num_nodes) {
            qdev_prop_set_uint16(DEVICE(dev), "numa_node", node);
        }
    } else {
        qdev_prop_set_uint8(DEVICE(dev), "chassis_nr", bridge->chassis);
        qdev_prop_set_bit(DEVICE(dev), "shpc", false);
        qdev_prop_set_enum(DEVICE(dev), "msi", ON_OFF_AUTO_OFF);
        reserve(DEVICE(dev), "mem-reserve", bridge->reserve.mem);
        reserve(DEVICE(dev), "io-reserve", bridge->reserve.io);
    }
    return dev;
}

static bool add_port(const VpciPlan *plan, const VpciNeed *need, unsigned node,
                     unsigned slot, bool hotplug, PCIBus *bus, Error **errp)
{
    VpciPlace place = vpci_plan_place(plan, node, slot);
    PCIDevice *dev = pci_new(place.port_devfn, TYPE_VPCI_PORT);

    qdev_prop_set_uint8(DEVICE(dev), "chassis", plan->bridge[node].chassis);
    qdev_prop_set_uint16(DEVICE(dev), "slot", place.number);
    qdev_prop_set_bit(DEVICE(dev), "hotplug", hotplug);
    qdev_prop_set_uint64(DEVICE(dev), "io-reserve",
                         vpci_room_io_reserve(&(VpciReserve) { 0 }, need));
    if (!realize_cold(dev, bus, g_strdup_printf("node%u-port%02x", node, slot),
                      errp)) {
        return false;
    }
    buses[node][slot] = pci_bridge_get_sec_bus(PCI_BRIDGE(dev));
    return true;
}

static bool add_bridge(const VpciPlan *plan, const VpciNeed *needs,
                       uint32_t hotplug, unsigned node, Error **errp)
{
    PCIDevice *dev = bridge_new(plan, node);
    PCIBus *bus;

    if (!realize_cold(dev, root_bus(), g_strdup_printf("node%u", node),
                      errp)) {
        return false;
    }
    if (plan->machine == VPCI_PC) {
        bridge_ready(dev);
    }
    bus = bus_below(root_bus(), dev);
    for (unsigned slot = 1; slot <= plan->bridge[node].slots; slot++) {
        buses[node][slot] = bus;
        if (plan->machine == VPCI_Q35 &&
            !add_port(plan, &needs[slot], node, slot, hotplug >> slot & 1, bus,
                      errp)) {
            return false;
        }
    }
    return true;
}

/* pc_machine_done() counted root buses when these were not there. */
static void tell_firmware_of_roots(void)
{
    uint64_t *count = g_new(uint64_t, 1), roots = 0;
    PCIBus *bus;

    QLIST_FOREACH(bus, &root_bus()->child, sibling) {
        roots += pci_bus_is_root(bus);
    }
    *count = cpu_to_le64(roots);
    g_free(fw_cfg_modify_file(X86_MACHINE(qdev_get_machine())->fw_cfg,
                              "etc/extra-pci-roots", count, sizeof(*count)));
}

bool tree_make(const VpciPlan *plan, const VpciNeed *needs,
               const uint32_t *hotplug, Error **errp)
{
    if (plan->machine == VPCI_Q35) {
        PCIExpressHost *host = PCIE_HOST_BRIDGE(BUS(root_bus())->parent);

        host->mmio.disable_reentrancy_guard = true;
        ecam_watch(host);
    }
    /* While a vCPU waits in one cycle others perform theirs. */
    PCI_HOST_BRIDGE(BUS(root_bus())->parent)->conf_mem
        .disable_reentrancy_guard = true;
    PCI_HOST_BRIDGE(BUS(root_bus())->parent)->data_mem
        .disable_reentrancy_guard = true;
    for (unsigned node = 0; node < plan->nodes; node++) {
        if (!plan->bridge[node].slots) {
            continue;
        }
        if (!add_bridge(plan, &needs[node * VPCI_NEEDS_NODE], hotplug[node],
                        node, errp)) {
            return false;
        }
    }
    if (plan->machine == VPCI_Q35) {
        tell_firmware_of_roots();
    }
    return true;
}

void tree_power(void)
{
    for (unsigned node = 0; node < VPCI_NODES_MAX; node++) {
        for (unsigned slot = 1; slot <= VPCI_SLOTS_MAX; slot++) {
            PCIBus *bus = buses[node][slot];

            if (bus && pci_bus_is_express(bus)) {
                pcie_cap_slot_reset(bus->parent_dev);
            }
        }
    }
}

PCIBus *tree_bus(unsigned node, unsigned slot)
{
    return node < VPCI_NODES_MAX && slot <= VPCI_SLOTS_MAX ? buses[node][slot]
                                                           : NULL;
}
