/*
 * vpci-cluster: the slots of other nodes, on node 0
 *
 * The owner has the table of states (slots.h), and this is its other end.  What
 * an owner says may have crossed what this node says, and then it is nothing;
 * all else that does not fit is a lie.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/hotplug.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-core.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "system/distkvm-pci.h"
#include "bridge.h"
#include "plug.h"
#include "port.h"
#include "tree.h"

/* Guest time for an answer to a request, as QEMU has it for its own ports. */
#define ANSWER_MS 5000
/* Guest time for switching off a slot whose device was pulled out. */
#define SWITCH_OFF_MS 30000
/* Guest time for a last look at a slot that the guest has switched off. */
#define LAST_LOOK_MS 2000

typedef enum HeldState {
    HELD_EMPTY,             /* no map names a BAR of a device               */
    HELD_FILLING,           /* without function 0                           */
    HELD_USED,              /* the owner was told so                        */
    HELD_LEFT,              /* no stand-in, but a map may still name it     */
} HeldState;

typedef struct Held {
    HeldState state;
    uint64_t generation;    /* of the last device; 0: there was none        */
    uint8_t functions;      /* that have a stand-in, a bit for each         */
    bool asked;             /* the owner waits: will the guest let go?      */
    QEMUTimer *timer;       /* for an answer; NULL: never needed            */
    QEMUTimer *opens;       /* until then the slot is closed; NULL: never   */
    int64_t opens_by_ms;    /* guest time, at the latest                   */
} Held;

/* Of node 0 there are none, and of each node there is no slot 0. */
#define HELD_OF_NODE (VPCI_SLOTS_MAX + 1)
#define HELD_ALL (VPCI_NODES_MAX * HELD_OF_NODE)

static Held held[HELD_ALL];
static const char *no_addresses;    /* for a device that comes late; or NULL */

static Held *held_at(unsigned node, unsigned slot)
{
    return node < VPCI_NODES_MAX && slot && slot <= VPCI_SLOTS_MAX
           ? &held[node * HELD_OF_NODE + slot] : NULL;
}

static unsigned node_of(const Held *h)
{
    return (h - held) / HELD_OF_NODE;
}

static unsigned slot_of(const Held *h)
{
    return (h - held) % HELD_OF_NODE;
}

static void tell(const Held *h, VpciNews news, const char *why)
{
    distkvm_pci_news(node_of(h), slot_of(h), h->generation, news, why);
}

/* The first function that has a stand-in, or NULL. */
static StandIn *first(const Held *h)
{
    PCIBus *bus = tree_bus(node_of(h), slot_of(h));
    StandIn *s = NULL;

    for (unsigned f = 0; bus && !s && f < VPCI_FUNCTIONS_MAX; f++) {
        s = stand_in_find(bus, VPCI_DEVFN(slot_of(h), f));
    }
    return s;
}

/* --------------------------------------------------------------- leaving */

static void released(void *opaque)
{
    Held *h = opaque;

    h->state = HELD_EMPTY;
    tell(h, VPCI_RELEASED, NULL);
}

static void no_request(Held *h)
{
    h->asked = false;
    if (h->timer) {
        timer_del(h->timer);
    }
}

/* The last stand-in has left, or there was none. */
static void leave(Held *h, VpciNews news, const char *why)
{
    no_request(h);
    h->state = HELD_LEFT;
    tell(h, news, why);
    distkvm_pci_when_mapped(released, h);
}

/* Functions that have a stand-in yet lose it. */
static void remove_all(Held *h, VpciNews news, const char *why)
{
    StandIn *s;

    h->state = HELD_LEFT;
    while ((s = first(h))) {
        DeviceState *dev = DEVICE(s);

        hotplug_handler_unplug(qdev_get_hotplug_handler(dev), dev,
                               &error_abort);
        object_unparent(OBJECT(dev));
    }
    leave(h, news, why);
}

static void others_go(Held *h)
{
    if (h->state == HELD_FILLING) {
        remove_all(h, VPCI_REJECTED,
                   "it was removed there before function 0 came");
    } else if (h->state == HELD_USED) {
        remove_all(h, VPCI_EJECTED, NULL);
    }
}

static Held *forget_function(const StandIn *s)
{
    Held *h = held_at(s->node, VPCI_SLOT(s->devfn));

    h->functions &= ~(1 << VPCI_FUNCTION(s->devfn));
    return h;
}

/*
 * A root port removes a function by itself where the guest has seen none, for
 * want of function 0.  The owner knows one device in the slot: all of it goes.
 */
static void gone(StandIn *s)
{
    others_go(forget_function(s));
}

/* ACPI removes all of a slot, one after the other, and looks at the next. */
static void gone_by_acpi(StandIn *s)
{
    Held *h = forget_function(s);

    if (!first(h)) {
        others_go(h);
    }
}

/* The guest has seen none of the functions. */
static void reject(Held *h, const char *why)
{
    distkvm_pci_say_rejected(node_of(h), why);
    remove_all(h, VPCI_REJECTED, why);
}

/* --------------------------------------------------------------- asking */

static void keep(Held *h, const char *why)
{
    StandIn *s = first(h);

    no_request(h);
    if (s) {
        DEVICE(s)->pending_deleted_event = false;
    }
    tell(h, VPCI_KEPT, why);
}

static void kept(PCIBus *bus, const char *why)
{
    for (Held *h = held; h < held + HELD_ALL; h++) {
        if (h->asked && tree_bus(node_of(h), slot_of(h)) == bus) {
            keep(h, why);
        }
    }
}

static void wait_for_guest(Held *h)
{
    timer_mod(h->timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + ANSWER_MS);
}

static void look_again(void *opaque)
{
    Held *h = opaque;
    PCIBus *bus = tree_bus(node_of(h), slot_of(h));

    if (pci_bus_is_express(bus) && port_is_busy(bus)) {
        wait_for_guest(h);
    } else {
        keep(h, "the guest has not answered for 5 s; it may still let go of"
             " it");
    }
}

static void ask(Held *h)
{
    DeviceState *dev = DEVICE(first(h));
    Error *err = NULL;

    h->asked = true;
    hotplug_handler_unplug_request(qdev_get_hotplug_handler(dev), dev, &err);
    if (err) {
        keep(h, error_get_pretty(err));
        error_free(err);
    } else if (h->asked) {
        if (!h->timer) {
            h->timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, look_again, h);
        }
        wait_for_guest(h);
    }
}

/* ------------------------------------------------------------ pulling out */

/*
 * A guest that finds its device gone switches the slot off.  QEMU's slots let
 * go of any device then, and Linux takes a button that is pressed meanwhile as
 * one that is pressed afterwards.  So the slot is closed: the next device waits
 * until the guest has let go of the last one.
 */
static void opened(void *opaque)
{
    distkvm_pci_slot_opened(node_of(opaque), slot_of(opaque));
}

/* For @ms of guest time from now on, but no longer than until @opens_by_ms. */
static void close_for(Held *h, int64_t ms)
{
    int64_t now_ms = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);

    ms = MIN(ms, h->opens_by_ms - now_ms);
    distkvm_pci_slot_closed(node_of(h), slot_of(h), ms);
    timer_mod(h->opens, now_ms + ms);
}

static void close_slot(Held *h)
{
    if (!h->opens) {
        h->opens = timer_new_ms(QEMU_CLOCK_VIRTUAL, opened, h);
    }
    h->opens_by_ms = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + SWITCH_OFF_MS;
    close_for(h, SWITCH_OFF_MS);
}

bool plug_is_closed(unsigned node, unsigned slot)
{
    const Held *h = held_at(node, slot);

    return h && h->opens && timer_pending(h->opens);
}

/* The guest looks at the slot once more, and is not to find it filled. */
static void off(PCIBus *bus)
{
    for (Held *h = held; h < held + HELD_ALL; h++) {
        if (plug_is_closed(node_of(h), slot_of(h)) &&
            tree_bus(node_of(h), slot_of(h)) == bus) {
            close_for(h, LAST_LOOK_MS);
        }
    }
}

/* The guest forgets its slots in a reset. */
void vpci_before_reset(void)
{
    for (Held *h = held; h < held + HELD_ALL; h++) {
        if (plug_is_closed(node_of(h), slot_of(h))) {
            timer_del(h->opens);
            opened(h);
        }
    }
}

/* The guest finds nothing there from now on, and hears why. */
static void pull(Held *h)
{
    PCIBus *bus = tree_bus(node_of(h), slot_of(h));

    remove_all(h, VPCI_EJECTED, NULL);
    if (!port_is_unheeded(bus)) {
        close_slot(h);
    }
    port_pulled(bus);
}

const char *vpci_hear_unplug(unsigned node, unsigned slot,
                             uint64_t generation, bool pulled)
{
    Held *h = held_at(node, slot);
    PCIBus *bus = h ? tree_bus(node, slot) : NULL;

    if (!bus || (pulled && !pci_bus_is_express(bus)) || !generation ||
        generation != h->generation || h->state == HELD_FILLING ||
        (h->asked && !pulled)) {
        return "a request to remove a PCI device that cannot be";
    }
    /* In any other state the guest has let go of it meanwhile. */
    if (h->state == HELD_USED && pulled) {
        pull(h);
    } else if (h->state == HELD_USED) {
        ask(h);
    }
    return NULL;
}

/* -------------------------------------------------------------- plugging */

void plug_refuse_late(const char *why)
{
    no_addresses = why;
}

const char *plug_check_late(unsigned node, const VpciFunction *f)
{
    const Held *h = held_at(node, VPCI_SLOT(f->devfn));

    if (h->functions & 1 << VPCI_FUNCTION(f->devfn)) {
        return "a PCI function twice";
    }
    if (h->state == HELD_EMPTY ? f->generation != h->generation + 1
        : h->state != HELD_FILLING || f->generation != h->generation) {
        return "a PCI function that its slot does not take";
    }
    return NULL;
}

/* A function that its owner told of before it heard of the rejection. */
static bool has_crossed(const Held *h, const VpciFunction *f)
{
    return f->generation == h->generation &&
           (h->state == HELD_LEFT || (h->state == HELD_EMPTY && h->generation));
}

const char *plug_late(unsigned node, const VpciFunction *f,
                      const uint8_t *rom)
{
    Held *h = held_at(node, VPCI_SLOT(f->devfn));
    PCIBus *bus = tree_bus(node, VPCI_SLOT(f->devfn));
    const char *why = has_crossed(h, f) ? NULL
                                          : plug_check_late(node, f);
    Error *err = NULL;

    if (why || has_crossed(h, f)) {
        return why;
    }
    h->generation = f->generation;
    h->state = HELD_FILLING;
    if (!bus) {
        reject(h, "it has no bridge for that node's devices, as it said when"
               " the guest started");
    } else if (no_addresses) {
        reject(h, no_addresses);
    } else if (!stand_in_new(node, f, rom, bus, true, &err)) {
        reject(h, error_get_pretty(err));
        error_free(err);
    } else {
        h->functions |= 1 << VPCI_FUNCTION(f->devfn);
        /* The guest is told of it, and looks at all of them. */
        if (!VPCI_FUNCTION(f->devfn)) {
            h->state = HELD_USED;
            tell(h, VPCI_ACCEPTED, NULL);
        }
    }
    return NULL;
}

void plug_early(unsigned node, const VpciFunction *f)
{
    Held *h = held_at(node, VPCI_SLOT(f->devfn));

    h->state = HELD_USED;
    h->generation = f->generation;
    h->functions |= 1 << VPCI_FUNCTION(f->devfn);
}

void plug_ready(void)
{
    static const PortListener listener = { gone, kept, off };

    port_listen(&listener);
    bridge_listen(gone_by_acpi);
    for (Held *h = held; h < held + HELD_ALL; h++) {
        if (h->state == HELD_USED) {
            tell(h, VPCI_ACCEPTED, NULL);
        }
    }
}

/* ---------------------------------------------------- while the guest runs */

DistKVMPciState plug_state(const StandIn *s)
{
    const Held *h = held_at(s->node, VPCI_SLOT(s->devfn));

    if (s->lost) {
        return DIST_KVM_PCI_STATE_LOST;
    }
    if (h->state == HELD_FILLING) {
        return DIST_KVM_PCI_STATE_PLUGGING;
    }
    return h->asked ? DIST_KVM_PCI_STATE_LEAVING : DIST_KVM_PCI_STATE_USED;
}

static void lose(Held *h)
{
    PCIBus *bus = tree_bus(node_of(h), slot_of(h));

    no_request(h);
    if (h->opens) {
        timer_del(h->opens);
    }
    for (unsigned f = 0; bus && f < VPCI_FUNCTIONS_MAX; f++) {
        StandIn *s = stand_in_find(bus, VPCI_DEVFN(slot_of(h), f));

        if (s) {
            stand_in_lose(s);
        }
    }
}

void plug_lost(unsigned node)
{
    memory_region_transaction_begin();
    for (unsigned slot = 1; slot <= VPCI_SLOTS_MAX; slot++) {
        lose(held_at(node, slot));
    }
    memory_region_transaction_commit();
}

/* The stand-in, or NULL: there is none, or it is another generation's. */
static StandIn *find(unsigned node, uint8_t devfn, uint64_t generation)
{
    PCIBus *bus = tree_bus(node, VPCI_SLOT(devfn));
    StandIn *s = bus ? stand_in_find(bus, devfn) : NULL;

    return s && s->generation == generation ? s : NULL;
}

const char *vpci_changed(unsigned node, uint8_t devfn, uint64_t generation,
                         const uint8_t *changes, size_t len)
{
    StandIn *s = find(node, devfn, generation);

    return s ? stand_in_changed(s, changes, len) : NULL;
}

/*
 * *@s is the stand-in, or NULL if it has gone.  False: @node never had such a
 * function.
 */
static bool reach(unsigned node, uint8_t devfn, uint64_t generation,
                  StandIn **s)
{
    const Held *h = held_at(node, VPCI_SLOT(devfn));

    *s = NULL;
    if (!h || !generation || generation > h->generation) {
        return false;
    }
    if (generation < h->generation || h->state == HELD_EMPTY ||
        h->state == HELD_LEFT) {
        return true;
    }
    *s = find(node, devfn, generation);
    return *s;
}

bool vpci_line(unsigned node, uint8_t devfn, uint64_t generation, bool level)
{
    StandIn *s;

    if (!reach(node, devfn, generation, &s) ||
        (s && !pci_get_byte(PCI_DEVICE(s)->config + PCI_INTERRUPT_PIN))) {
        return false;
    }
    if (s) {
        pci_set_irq(PCI_DEVICE(s), level);
    }
    return true;
}

bool vpci_msi(unsigned node, uint8_t devfn, uint64_t generation, uint32_t addr,
              uint32_t data)
{
    StandIn *s;

    if (!reach(node, devfn, generation, &s)) {
        return false;
    }
    if (s) {
        /* As if the stand-in had sent it: fenced, and by its requester id. */
        PCI_DEVICE(s)->msi_trigger(PCI_DEVICE(s), (MSIMessage) {
            .address = addr, .data = data,
        });
    }
    return true;
}
