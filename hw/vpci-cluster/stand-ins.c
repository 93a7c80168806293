/*
 * vpci-cluster: the functions of all nodes, on node 0
 *
 * Descriptions are kept until all nodes have told theirs, since where the
 * bridges are depends on all of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/i386/x86-iommu.h"
#include "hw/pci/pci_bus.h"
#include "qapi/error.h"
#include "system/distkvm-pci.h"
#include "stand-in.h"
#include "tree.h"

/* Of all functions of a node. */
#define ROM_BYTES_MAX (64u << 20)

/* A function that a node has told of, until its stand-in is made. */
typedef struct Told {
    unsigned node;
    VpciFunction function;
    GByteArray *rom;
} Told;

static GPtrArray *told;                     /* Told */
static unsigned slots_of[VPCI_NODES_MAX];

/* --------------------------------------------------------------- hearing */

static void told_free(gpointer opaque)
{
    Told *t = opaque;

    g_byte_array_unref(t->rom);
    g_free(t);
}

static Told *told_find(unsigned node, uint8_t devfn)
{
    for (guint i = 0; told && i < told->len; i++) {
        Told *t = g_ptr_array_index(told, i);

        if (t->node == node && t->function.devfn == devfn) {
            return t;
        }
    }
    return NULL;
}

const char *vpci_hear_function(unsigned node, const uint8_t *bytes, size_t len)
{
    Told *t = g_new0(Told, 1);
    const char *why = vpci_function_unpack(&t->function, bytes, len);

    t->node = node;
    t->rom = g_byte_array_new();
    if (!why) {
        why = vpci_function_check(&t->function, VPCI_SLOTS_MAX);
    }
    if (why || told_find(node, t->function.devfn)) {
        told_free(t);
        return "a PCI function that cannot be";
    }
    if (!told) {
        told = g_ptr_array_new_with_free_func(told_free);
    }
    g_ptr_array_add(told, t);
    return NULL;
}

static size_t rom_bytes_of(unsigned node)
{
    size_t bytes = 0;

    for (guint i = 0; told && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        bytes += t->node == node ? t->rom->len : 0;
    }
    return bytes;
}

const char *vpci_hear_rom(unsigned node, uint8_t devfn, uint32_t at,
                          const uint8_t *bytes, size_t len)
{
    Told *t = told_find(node, devfn);

    if (!t || at != t->rom->len ||
        len > t->function.rom_bytes - t->rom->len) {
        return "a part of a ROM that no PCI function of it has";
    }
    if (rom_bytes_of(node) + len > ROM_BYTES_MAX) {
        return "more ROMs than a node can have";
    }
    g_byte_array_append(t->rom, bytes, len);
    return NULL;
}

const char *vpci_hear_end(unsigned node, unsigned slots)
{
    if (slots > VPCI_SLOTS_MAX) {
        return "more PCI slots than a node can have";
    }
    for (guint i = 0; told && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->node == node && (VPCI_SLOT(t->function.devfn) > slots ||
                                t->rom->len != t->function.rom_bytes)) {
            return "half a PCI function, or one in no slot";
        }
    }
    slots_of[node] = slots;
    return NULL;
}

void vpci_forget(unsigned node)
{
    for (guint i = told ? told->len : 0; i-- > 0; ) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->node == node) {
            g_ptr_array_remove_index(told, i);
        }
    }
    slots_of[node] = 0;
}

/* -------------------------------------------------------------- building */

static void add_needs(VpciNeed *needs)
{
    for (guint i = 0; i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        vpci_need_add(&needs[t->node * VPCI_NEEDS_NODE +
                             VPCI_SLOT(t->function.devfn)], &t->function);
    }
}

static bool make_tree(unsigned nodes, const VpciNeed *needs, Error **errp)
{
    ERRP_GUARD();
    g_autofree VpciOptions *options = g_new0(VpciOptions, 1);
    g_autofree VpciPlan *plan = g_new0(VpciPlan, 1);
    g_autofree char *why = NULL;

    options->nodes = nodes;
    for (unsigned n = 0; n < nodes; n++) {
        options->node[n].slots = slots_of[n];
    }
    tree_describe_board(options);
    why = vpci_plan_make(options, plan) ?: vpci_room_check(options, needs);
    if (why) {
        error_setg(errp, "distkvm: PCI devices of other nodes: %s", why);
        return false;
    }
    if (!tree_make(plan, needs, errp)) {
        error_prepend(errp, "distkvm: PCI bridges of other nodes: ");
        return false;
    }
    return true;
}

static bool make_stand_in(const Told *t, Error **errp)
{
    const VpciFunction *f = &t->function;
    PCIBus *bus = tree_bus(t->node, VPCI_SLOT(f->devfn));
    uint8_t devfn = pci_bus_is_express(bus) ? VPCI_FUNCTION(f->devfn)
                                            : f->devfn;

    return stand_in_new(t->node, f, t->rom->data, bus, devfn, errp);
}

bool vpci_build(unsigned nodes, Error **errp)
{
    ERRP_GUARD();
    g_autofree VpciNeed *needs = g_new0(VpciNeed, VPCI_NEEDS);
    bool made = true;

    if (!told) {
        return true;
    }
    if (x86_iommu_get_default() || PC_MACHINE(qdev_get_machine())->iommu) {
        error_setg(errp, "distkvm: PCI devices of other nodes: an IOMMU would"
                   " have to translate for them; leave out the IOMMU, or put"
                   " these devices on node 0");
        return false;
    }
    add_needs(needs);
    made = make_tree(nodes, needs, errp);
    for (guint i = 0; made && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        made = make_stand_in(t, errp);
        if (!made) {
            error_prepend(errp, "distkvm: a PCI device of node %u: ", t->node);
        }
    }
    g_clear_pointer(&told, g_ptr_array_unref);
    return made;
}

/* ---------------------------------------------------- while the guest runs */

static StandIn *find(unsigned node, uint8_t devfn)
{
    PCIBus *bus = tree_bus(node, VPCI_SLOT(devfn));
    PCIDevice *dev = !bus ? NULL
                          : bus->devices[pci_bus_is_express(bus)
                                         ? VPCI_FUNCTION(devfn) : devfn];

    return dev ? (StandIn *)object_dynamic_cast(OBJECT(dev),
                                                TYPE_VPCI_STAND_IN) : NULL;
}

const char *vpci_changed(unsigned node, uint8_t devfn, const uint8_t *changes,
                         size_t len)
{
    StandIn *s = find(node, devfn);

    return s ? stand_in_changed(s, changes, len) : NULL;
}

bool vpci_line(unsigned node, uint8_t devfn, bool level)
{
    StandIn *s = find(node, devfn);

    if (!s || !pci_get_byte(PCI_DEVICE(s)->config + PCI_INTERRUPT_PIN)) {
        return false;
    }
    pci_set_irq(PCI_DEVICE(s), level);
    return true;
}
