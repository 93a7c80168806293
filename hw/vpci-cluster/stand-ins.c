/*
 * vpci-cluster: the functions of all nodes, on node 0
 *
 * Descriptions are kept until all nodes have told theirs, since where the
 * bridges are depends on all of them.  Those that come later are kept until
 * their ROM has come, too, and until their slot is open.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/pci/pci_bus.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/distkvm-pci.h"
#include "boot.h"
#include "function-pack.h"
#include "plug.h"
#include "stand-in.h"
#include "tree.h"

/* A function that a node has told of, until its stand-in is made. */
typedef struct Told {
    unsigned node;
    bool late;                  /* it was plugged since the start           */
    VpciFunction function;
    GByteArray *rom;
} Told;

static GPtrArray *told;                     /* Told */
static unsigned slots_of[VPCI_NODES_MAX];
static uint32_t hotplug_of[VPCI_NODES_MAX]; /* slots, a bit for each */
static bool is_built;

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

static bool is_whole(const Told *t)
{
    return t->rom->len == t->function.rom_bytes;
}

/*
 * A function that came late: when it is whole, the bridges are there, and the
 * slot is open.
 */
static const char *plug_if_whole(Told *t)
{
    const char *why;

    if (!is_built || !t->late || !is_whole(t) ||
        plug_is_closed(t->node, VPCI_SLOT(t->function.devfn))) {
        return NULL;
    }
    why = plug_late(t->node, &t->function, t->rom->data);
    g_ptr_array_remove(told, t);
    return why;
}

/* A description is followed by its ROM, and only then by the next one. */
static bool has_half(unsigned node)
{
    for (guint i = 0; i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->node == node && !is_whole(t)) {
            return true;
        }
    }
    return false;
}

/*
 * A function whose slot is closed waits, but a lie is no better later.  The
 * owner plugs when it has heard that no map has the last device, so no words
 * have crossed.
 */
static const char *check_closed(const Told *t)
{
    unsigned slot = VPCI_SLOT(t->function.devfn);

    if (!t->late || !plug_is_closed(t->node, slot)) {
        return NULL;
    }
    /* The guest would be told of that one, and nothing more is to come. */
    return told_find(t->node, VPCI_DEVFN(slot, 0))
           ? "a PCI function that its slot does not take"
           : plug_check_late(t->node, &t->function);
}

const char *vpci_hear_function(unsigned node, bool late, const uint8_t *bytes,
                               size_t len)
{
    Told *t = g_new0(Told, 1);
    const char *why = vpci_function_unpack(&t->function, bytes, len);

    t->node = node;
    t->late = late;
    t->rom = g_byte_array_new();
    if (!told) {
        told = g_ptr_array_new_with_free_func(told_free);
    }
    if (!why) {
        why = vpci_function_check(&t->function,
                                  late ? slots_of[node] : VPCI_SLOTS_MAX);
    }
    if (why || told_find(node, t->function.devfn) || has_half(node) ||
        (!late && t->function.generation != 1)) {
        why = "a PCI function that cannot be";
    } else {
        why = check_closed(t);
    }
    if (why) {
        told_free(t);
        return why;
    }
    g_ptr_array_add(told, t);
    return plug_if_whole(t);
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
    if (rom_bytes_of(node) + len > VPCI_ROMS_BYTES_MAX) {
        return "more ROMs than a node can have";
    }
    g_byte_array_append(t->rom, bytes, len);
    return plug_if_whole(t);
}

const char *vpci_hear_end(unsigned node, unsigned slots, uint32_t hotplug)
{
    if (slots > VPCI_SLOTS_MAX || hotplug & ~(((2u << slots) - 1) & ~1u)) {
        return "more PCI slots than a node can have";
    }
    for (guint i = 0; told && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->node == node && (VPCI_SLOT(t->function.devfn) > slots ||
                                !is_whole(t))) {
            return "half a PCI function, or one in no slot";
        }
    }
    slots_of[node] = slots;
    hotplug_of[node] = hotplug;
    return NULL;
}

static void drop_told(unsigned node)
{
    for (guint i = told ? told->len : 0; i-- > 0; ) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->node == node) {
            g_ptr_array_remove_index(told, i);
        }
    }
}

void vpci_forget(unsigned node)
{
    drop_told(node);
    slots_of[node] = 0;
    hotplug_of[node] = 0;
}

/* The slots stay: other nodes' buses do not move. */
void vpci_lost(unsigned node)
{
    drop_told(node);
    plug_lost(node);
}

/* -------------------------------------------------------------- building */

static bool is_early(guint i)
{
    return !((const Told *)g_ptr_array_index(told, i))->late;
}

static unsigned count_early(void)
{
    unsigned count = 0;

    for (guint i = 0; told && i < told->len; i++) {
        count += is_early(i);
    }
    return count;
}

static void add_needs(VpciNeed *needs)
{
    for (guint i = 0; told && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        if (t->late) {
            continue;
        }
        vpci_need_add(&needs[t->node * VPCI_NEEDS_NODE +
                             VPCI_SLOT(t->function.devfn)], &t->function);
    }
}

/* Interrupts are remapped on node 0, but DMA is the owner's. */
static bool iommu_translates(void)
{
    Object *iommu = OBJECT(PC_MACHINE(qdev_get_machine())->iommu);

    if (!iommu) {
        return false;
    }
    return !object_property_find(iommu, "dma-translation") ||
           object_property_get_bool(iommu, "dma-translation", &error_abort);
}

static bool make_plan(unsigned nodes, const VpciNeed *needs, VpciPlan *plan,
                      Error **errp)
{
    g_autofree VpciOptions *options = g_new0(VpciOptions, 1);
    g_autofree char *why = NULL;

    options->nodes = nodes;
    for (unsigned n = 0; n < nodes; n++) {
        options->node[n].slots = slots_of[n];
    }
    tree_describe_board(options);
    vpci_room_reserve(options, needs);
    why = iommu_translates()
        ? g_strdup("an IOMMU would have to translate for them; use intel-iommu"
                   " with dma-translation=off, leave out the IOMMU, or put"
                   " these devices on node 0")
        : vpci_plan_make(options, plan) ?: vpci_room_check(options, needs);
    plug_refuse_late(vpci_room_hotplug(options));
    if (why) {
        error_setg(errp, "distkvm: PCI devices of other nodes: %s", why);
    }
    return !why;
}

static bool make_stand_in(const Told *t, Error **errp)
{
    const VpciFunction *f = &t->function;
    PCIBus *bus = tree_bus(t->node, VPCI_SLOT(f->devfn));

    if (!stand_in_new(t->node, f, t->rom->data, bus, false, errp)) {
        return false;
    }
    plug_early(t->node, f);
    return true;
}

static bool make_stand_ins(Error **errp)
{
    ERRP_GUARD();

    for (guint i = 0; told && i < told->len; i++) {
        const Told *t = g_ptr_array_index(told, i);

        if (!t->late && !make_stand_in(t, errp)) {
            error_prepend(errp, "distkvm: a PCI device of node %u: ", t->node);
            return false;
        }
    }
    return true;
}

/* Those have stand-ins now, or never will. */
static void forget_early(void)
{
    for (guint i = told ? told->len : 0; i-- > 0; ) {
        if (is_early(i)) {
            g_ptr_array_remove_index(told, i);
        }
    }
}

const char *vpci_hear_rest(unsigned node)
{
    guint i = 0;

    while (told && i < told->len) {
        Told *t = g_ptr_array_index(told, i);
        guint before = told->len;
        const char *why = t->node == node ? plug_if_whole(t) : NULL;

        if (why) {
            return why;
        }
        i += told->len == before;
    }
    return NULL;
}

static bool has_slots(unsigned nodes)
{
    unsigned slots = 0;

    for (unsigned n = 0; n < nodes; n++) {
        slots += slots_of[n];
    }
    return slots;
}

static bool make_all(const VpciPlan *plan, const VpciNeed *needs,
                     Error **errp)
{
    ERRP_GUARD();

    if (!tree_make(plan, needs, hotplug_of, errp)) {
        error_prepend(errp, "distkvm: PCI bridges of other nodes: ");
        return false;
    }
    if (!make_stand_ins(errp)) {
        return false;
    }
    tree_power();
    boot_tell_firmware();
    return true;
}

bool vpci_build(unsigned nodes, Error **errp)
{
    g_autofree VpciNeed *needs = g_new0(VpciNeed, VPCI_NEEDS);
    g_autofree VpciPlan *plan = g_new0(VpciPlan, 1);
    Error *err = NULL;
    bool made = true;

    add_needs(needs);
    if (!has_slots(nodes)) {
        /* Such a cluster looks to the guest like one machine. */
    } else if (make_plan(nodes, needs, plan, &err)) {
        made = make_all(plan, needs, errp);
    } else if (count_early()) {
        error_propagate(errp, err);
        made = false;
    } else {
        /* Slots that cannot be are none; the guest misses no device. */
        warn_report_err(err);
    }
    is_built = made;
    if (made) {
        plug_ready();
    }
    forget_early();
    return made;
}
