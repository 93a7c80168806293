/*
 * distkvm: the plan of bridges and slots
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "plan.h"

#define BUSES 256
#define DEVICES 32
/* Users number their chassis from 0 or 1. */
#define CHASSIS_FIRST 128
#define IO_RESERVE_MAX (64 << 10)

static unsigned count_bridges(const VpciOptions *o)
{
    unsigned bridges = 0;

    for (unsigned n = 0; n < o->nodes; n++) {
        bridges += o->node[n].slots > 0;
    }
    return bridges;
}

/* ------------------------------------------------------------------ options */

static char *check_options(const VpciOptions *o)
{
    if (!o->nodes || o->nodes > VPCI_NODES_MAX) {
        return g_strdup_printf("%u nodes; there are 1 to %u", o->nodes,
                               VPCI_NODES_MAX);
    }
    for (unsigned n = 0; n < o->nodes; n++) {
        const VpciNodeOptions *node = &o->node[n];

        if (node->slots > VPCI_SLOTS_MAX) {
            return g_strdup_printf("node %u has %u PCI slots; a node has 0 to "
                                   "%u slots: use multifunction=on, with 8 "
                                   "functions in a slot", n, node->slots,
                                   VPCI_SLOTS_MAX);
        }
        if (node->reserve.io > IO_RESERVE_MAX) {
            return g_strdup_printf("node %u reserves %u ports; x86 has %u", n,
                                   node->reserve.io, IO_RESERVE_MAX);
        }
    }
    return NULL;
}

/* ------------------------------------------------ places on the root bus */

static unsigned count_free(uint32_t taken)
{
    unsigned count = 0;

    for (unsigned d = 0; d < DEVICES; d++) {
        count += !(taken >> d & 1);
    }
    return count;
}

/* From the highest down: devices without addr= take the lowest. */
static unsigned take_device(uint32_t *taken)
{
    unsigned device = DEVICES - 1;

    while (*taken >> device & 1) {
        device--;
    }
    *taken |= UINT32_C(1) << device;
    return device;
}

/* A device for each bridge as long as there are devices, else 8 in each. */
static char *place_bridges(const VpciOptions *o, VpciPlan *plan)
{
    uint32_t taken = o->board.devices;
    unsigned free_devices = count_free(taken);
    unsigned bridges = count_bridges(o);
    unsigned each = bridges <= free_devices ? 1 : VPCI_FUNCTIONS_MAX;
    unsigned placed = 0, device = 0;

    if (bridges > free_devices * each) {
        return g_strdup_printf("node 0's root bus has %u free device numbers, "
                               "and bridges of other nodes need %u: put "
                               "devices of node 0 behind a bridge, or give "
                               "some nodes no devices", free_devices,
                               (bridges + each - 1) / each);
    }
    for (unsigned n = 0; n < o->nodes; n++) {
        VpciBridge *bridge = &plan->bridge[n];
        unsigned function = placed % each;

        if (!o->node[n].slots) {
            continue;
        }
        if (!function) {
            device = take_device(&taken);
        }
        bridge->slots = o->node[n].slots;
        bridge->reserve = o->node[n].reserve;
        bridge->devfn = VPCI_DEVFN(device, function);
        bridge->multifunction = !function && each > 1 && placed + 1 < bridges;
        bridge->chassis = CHASSIS_FIRST + n;
        placed++;
    }
    return NULL;
}

/* -------------------------------------------------------------- bus numbers */

/* Buses of a node: its bridge's own, and one behind each root port. */
static unsigned node_buses(VpciMachine machine, unsigned slots)
{
    return slots ? 1 + (machine == VPCI_Q35 ? slots : 0) : 0;
}

/* The most slots that all nodes with a bridge can have, all the same. */
static unsigned equal_slots(const VpciOptions *o)
{
    unsigned buses = BUSES - MIN(o->board.buses, BUSES);
    unsigned each = buses / MAX(count_bridges(o), 1);

    return MIN(each ? each - 1 : 0, VPCI_SLOTS_MAX);
}

static char *number_buses(const VpciOptions *o, VpciPlan *plan)
{
    unsigned needed = 0, next;

    for (unsigned n = 0; n < o->nodes; n++) {
        needed += node_buses(o->machine, o->node[n].slots);
    }
    if (needed + o->board.buses > BUSES) {
        return g_strdup_printf(
            "slots of nodes need %u PCI buses, node 0's root bus and its "
            "bridges %u, and there are %u: give nodes fewer slots (at most %u, "
            "if all nodes that have slots have as many), and use "
            "multifunction=on", needed, o->board.buses, BUSES,
            equal_slots(o));
    }
    next = BUSES - needed;
    for (unsigned n = 0; o->machine == VPCI_Q35 && n < o->nodes; n++) {
        if (plan->bridge[n].slots) {
            plan->bridge[n].bus_nr = next;
            next += node_buses(o->machine, o->node[n].slots);
        }
    }
    return NULL;
}

char *vpci_plan_make(const VpciOptions *options, VpciPlan *plan)
{
    char *why = check_options(options);

    *plan = (VpciPlan) {
        .machine = options->machine, .nodes = options->nodes,
    };
    why = why ?: place_bridges(options, plan);
    return why ?: number_buses(options, plan);
}

VpciPlace vpci_plan_place(const VpciPlan *plan, unsigned node, unsigned slot)
{
    if (plan->machine == VPCI_PC) {
        return (VpciPlace) { .devfn = VPCI_DEVFN(slot, 0) };
    }
    return (VpciPlace) {
        .port_devfn = VPCI_DEVFN(slot, 0),
        .number = node * (VPCI_SLOTS_MAX + 1) + slot,
    };
}
