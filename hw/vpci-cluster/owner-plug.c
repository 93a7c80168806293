/*
 * vpci-cluster: a follower's devices come and go while the guest runs
 *
 * The slots are this node's own, so that a device_add which cannot work fails
 * at once.  The guest finds the device at the twin of its root port on node 0,
 * which sends the news.  A device that the guest has ejected stays here until
 * no node's memory map has it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/pci/pci_bridge.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm-pci.h"
#include "qapi/qapi-events-qdev.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "function.h"
#include "owner.h"

/* QEMU refuses a second device_del meanwhile, as it does for its own ports. */
#define ASKED_MS 5000

static const VpciTell *tell;

/* ------------------------------------------------------------ functions */

static const char *name_of(const DeviceState *dev)
{
    return dev->id ?: object_get_typename(OBJECT(dev));
}

/* The slot in words; the caller's. */
static char *words_of(const OwnerHost *host, unsigned slot)
{
    const OwnerPort *port = host->express
        ? g_ptr_array_index(host->ports, slot - 1) : NULL;

    return port ? g_strdup_printf("root port '%s'", name_of(DEVICE(port->dev)))
                : g_strdup_printf("slot %u", slot);
}

typedef void OwnerAct(const OwnerHost *host, PCIDevice *dev, const char *why);

/* Function 0 goes last: QEMU's devices of several functions want it so. */
static void for_each_function(const OwnerHost *host, unsigned slot,
                              OwnerAct *fn, const char *why)
{
    for (unsigned f = VPCI_FUNCTIONS_MAX; f-- > 0; ) {
        PCIDevice *dev = owner_function(host, VPCI_DEVFN(slot, f));

        if (dev) {
            fn(host, dev, why);
        }
    }
}

/* -------------------------------------------------------------- plugging */

/*
 * A device for which no port (on pc: no address) was named goes into the free
 * slot that has been empty for longest.  The slot, or 0 and @errp.
 */
static unsigned find_slot(const OwnerHost *host, PCIDevice *dev, Error **errp)
{
    int devfn;

    if (pci_get_bus(dev) != PCI_HOST_BRIDGE(host)->bus ||
        (!host->express && dev->devfn >= VPCI_DEVFN(1, 0))) {
        return VPCI_SLOT(owner_devfn(host, dev));
    }
    if (dev->devfn >= 0) {
        error_setg(errp, "distkvm: device '%s' cannot be added at %s of bus"
                   " '%s'%s, or leave out bus= and addr=", name_of(DEVICE(dev)),
                   host->express ? "an address" : "address 0", host->name,
                   host->express ? " while the guest runs: name a root port of"
                                   " this node with bus="
                                 : ": use addr=1 to addr=1f");
        return 0;
    }
    devfn = vpci_slots_find(&host->slots, owner_hotplug_slots(host));
    if (devfn < 0) {
        error_setg(errp, "distkvm: device '%s' cannot be added: node %d has no"
                   " free %s, or add the device on node 0",
                   name_of(DEVICE(dev)), host->node,
                   host->express ? "root port that takes devices while the"
                                   " guest runs; start all nodes again with"
                                   " -device pcie-root-port on this node"
                                 : "slot; use multifunction=on");
        return 0;
    }
    return VPCI_SLOT(devfn);
}

static const char *why_not_here(const OwnerHost *host, const PCIDevice *dev)
{
    if (object_dynamic_cast(OBJECT(dev), TYPE_PCI_BRIDGE)) {
        return host->express
               ? "bridges and root ports are there from the start; start all"
                 " nodes again with it"
               : "it is a bridge, and devices of this node are behind the one"
                 " that it has; use multifunction=on";
    }
    if (!host->express && !host->slots.n) {
        return "without a PCI device at the start it has no bridge in the"
               " guest; start all nodes again with one, or add the device on"
               " node 0";
    }
    return NULL;
}

/* Why the slot does not take the function at @devfn, or NULL. */
static const char *why_not_there(const OwnerHost *host, const PCIDevice *dev,
                                 uint8_t devfn)
{
    VpciSlots trial = host->slots;

    return owner_hotplug_slots(host) >> VPCI_SLOT(devfn) & 1
        ? vpci_slots_plug(&trial, devfn,
                          dev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION, true)
        : "has hotplug=off; name another one with bus=";
}

static void not_there(const OwnerHost *host, const PCIDevice *dev,
                      unsigned slot, const char *why, Error **errp)
{
    g_autofree char *words = words_of(host, slot);

    error_setg(errp, "distkvm: device '%s' cannot be added on node %d: %s %s",
               name_of(DEVICE(dev)), host->node, words, why);
}

static void pre_plug(OwnerHost *host, PCIDevice *dev, Error **errp)
{
    unsigned slot, function = dev->devfn < 0 ? 0 : VPCI_FUNCTION(dev->devfn);
    const char *why = why_not_here(host, dev);

    if (why) {
        error_setg(errp, "distkvm: device '%s' cannot be added on node %d:"
                   " %s", name_of(DEVICE(dev)), host->node, why);
        return;
    }
    slot = distkvm_pci_may_plug(errp) ? find_slot(host, dev, errp) : 0;
    if (!slot) {
        return;
    }
    why = why_not_there(host, dev, VPCI_DEVFN(slot, function));
    if (why) {
        not_there(host, dev, slot, why, errp);
        return;
    }
    dev->devfn = host->express ? VPCI_DEVFN(0, function)
                               : VPCI_DEVFN(slot, function);
    if (pci_get_bus(dev) != owner_bus(host, slot)) {
        qdev_set_parent_bus(DEVICE(dev), BUS(owner_bus(host, slot)), errp);
    }
}

/*
 * The greatest part of the ROMs of this node that node 0 may have to keep until
 * it shows the functions, with that of the one at @devfn, in bytes.
 */
static uint64_t waiting_rom_bytes(const OwnerHost *host, uint8_t devfn)
{
    uint32_t slots = 1u << VPCI_SLOT(devfn);

    for (unsigned slot = 1; slot <= host->slots.n; slot++) {
        if (host->slots.slot[slot].state == VPCI_SLOT_PLUGGING) {
            slots |= 1u << slot;
        }
    }
    return owner_rom_bytes(host, slots);
}

static void plug(OwnerHost *host, PCIDevice *dev, Error **errp)
{
    uint8_t devfn = owner_devfn(host, dev);
    const char *why =
        waiting_rom_bytes(host, devfn) > VPCI_ROMS_BYTES_MAX
        ? "takes no such ROM while node 0 keeps 64 MiB of them for devices that"
          " are being plugged; try again later, or leave it out with romfile="
        : vpci_slots_plug(&host->slots, devfn,
                          dev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION, true);

    /*
     * But for the ROM as pre_plug() found it: no news of node 0 is heard within
     * a command.
     */
    if (why) {
        not_there(host, dev, VPCI_SLOT(devfn), why, errp);
        return;
    }
    owner_tell(host, dev, tell);
}

/* -------------------------------------------------------------- removing */

/* Enter @event, of the device's slot, into the table.  False: @errp. */
static bool may_go(OwnerHost *host, PCIDevice *dev, VpciSlotEvent event,
                   Error **errp)
{
    unsigned slot = VPCI_SLOT(owner_devfn(host, dev));
    g_autofree char *words = words_of(host, slot);
    const char *why = NULL;

    if (!(owner_hotplug_slots(host) >> slot & 1)) {
        error_setg(errp, "distkvm: device '%s' stays: %s has hotplug=off; start"
                   " all nodes again without it", name_of(DEVICE(dev)), words);
        return false;
    }
    if (!distkvm_pci_may_plug(errp)) {
        return false;
    }
    if (vpci_slots_event(&host->slots, slot,
                         host->slots.slot[slot].generation, event,
                         &why) != VPCI_SLOT_OK) {
        error_setg(errp, "distkvm: device '%s' is not removed: %s %s",
                   name_of(DEVICE(dev)), words, why);
        return false;
    }
    return true;
}

static void unplug_request(OwnerHost *host, PCIDevice *dev, Error **errp)
{
    unsigned slot = VPCI_SLOT(owner_devfn(host, dev));
    uint64_t generation = host->slots.slot[slot].generation;

    if (!may_go(host, dev, VPCI_SLOT_UNPLUG, errp)) {
        return;
    }
    DEVICE(dev)->pending_deleted_event = true;
    DEVICE(dev)->pending_deleted_expires_ms =
        qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + ASKED_MS;
    tell->unplug(slot, generation, false);
}

static const OwnerPlugging plugging = { pre_plug, plug, unplug_request };

/* ------------------------------------------------------------------ news */

/*
 * A line may have been raised before there was a stand-in, and a reset may have
 * found the port empty, since function 0 comes last.
 */
static void accepted(const OwnerHost *host, PCIDevice *dev, const char *why)
{
    bool disabled = pci_get_word(dev->config + PCI_COMMAND) &
                    PCI_COMMAND_INTX_DISABLE;

    pci_set_power(dev, true);
    if (dev->irq_state && !disabled) {
        owner_line(host, owner_devfn(host, dev), true);
    }
}

static void say_rejected(const OwnerHost *host, PCIDevice *dev,
                         const char *why)
{
    const DeviceState *qdev = DEVICE(dev);

    error_report("distkvm: device '%s' is removed, since node 0 does not show"
                 " it to the guest: %s", name_of(qdev), why);
    distkvm_pci_rejected(qdev, why);
}

static void say_kept(const OwnerHost *host, PCIDevice *dev, const char *why)
{
    DeviceState *qdev = DEVICE(dev);

    if (!qdev->pending_deleted_event) {
        return;
    }
    qdev->pending_deleted_event = false;
    warn_report("distkvm: device '%s' stays: %s", name_of(qdev), why);
    qapi_event_send_device_unplug_guest_error(qdev->id, qdev->canonical_path);
}

/*
 * It does nothing more by itself: no DMA, no interrupt.  A reset clears the
 * COMMAND register, but QEMU goes on to let the device be bus master, and not
 * every model ends its work.
 */
static void quiesce(const OwnerHost *host, PCIDevice *dev, const char *why)
{
    pci_device_reset(dev);
    pci_set_power(dev, false);
}

/* No news comes meanwhile, though a disk is drained: a command is under way. */
static void pull(OwnerHost *host, unsigned slot)
{
    for_each_function(host, slot, quiesce, NULL);
    tell->unplug(slot, host->slots.slot[slot].generation, true);
}

/* A device of this node that the guest may see, or NULL and @errp. */
static PCIDevice *find_device(const OwnerHost *host, const char *id,
                              Error **errp)
{
    Object *found = object_resolve_path_component(
        machine_get_container("peripheral"), id);
    DeviceState *dev = (DeviceState *)object_dynamic_cast(found,
                                                          TYPE_PCI_DEVICE);

    if (!host || !host->plugging || !dev || !vpci_owns(dev) ||
        object_dynamic_cast(found, TYPE_PCI_BRIDGE)) {
        error_setg(errp, "distkvm: this node has no PCI device '%s' that is"
                   " pulled out: name one of a follower, on that node", id);
        return NULL;
    }
    return PCI_DEVICE(dev);
}

void qmp_distkvm_device_pull(const char *id, Error **errp)
{
    OwnerHost *host = owner_host();
    PCIDevice *dev = find_device(host, id, errp);
    unsigned slot = dev ? VPCI_SLOT(owner_devfn(host, dev)) : 0;

    if (!dev) {
        return;
    }
    if (!host->express) {
        error_setg(errp, "distkvm: device '%s' is not pulled out: ACPI, by which"
                   " devices come and go on pc, has no word for it; use"
                   " device_del, or -machine q35", id);
    } else if (host->slots.slot[slot].state == VPCI_SLOT_PLUGGING) {
        error_setg(errp, "distkvm: device '%s' is being plugged: try again"
                   " when the guest has it, which is after it has let go of the"
                   " slot's last device", id);
    } else if (may_go(host, dev, VPCI_SLOT_REMOVE, errp)) {
        pull(host, slot);
    }
}

static void remove_function(const OwnerHost *host, PCIDevice *dev,
                            const char *why)
{
    owner_forget(dev);
    qdev_unrealize(DEVICE(dev));
    object_unparent(OBJECT(dev));
}

QEMU_BUILD_BUG_ON(VPCI_SLOT_ACCEPT + VPCI_REJECTED != VPCI_SLOT_REJECT);
QEMU_BUILD_BUG_ON(VPCI_SLOT_ACCEPT + VPCI_KEPT != VPCI_SLOT_KEEP);
QEMU_BUILD_BUG_ON(VPCI_SLOT_ACCEPT + VPCI_EJECTED != VPCI_SLOT_EJECT);
QEMU_BUILD_BUG_ON(VPCI_SLOT_ACCEPT + VPCI_RELEASED != VPCI_SLOT_RELEASE);
QEMU_BUILD_BUG_ON(VPCI_SLOT_ACCEPT + VPCI_NEWS__MAX != VPCI_SLOT_EVENT__MAX);

const char *vpci_hear_news(unsigned slot, uint64_t generation, VpciNews news,
                           const char *why)
{
    static OwnerAct *const act[VPCI_NEWS__MAX] = {
        [VPCI_ACCEPTED] = accepted,
        [VPCI_REJECTED] = say_rejected,
        [VPCI_KEPT] = say_kept,
        [VPCI_EJECTED] = quiesce,
        [VPCI_RELEASED] = remove_function,
    };
    OwnerHost *host = owner_host();
    const char *fault = NULL;
    VpciSlotResult result;

    if (!host || !host->plugging) {
        return "news of a PCI slot that this node has not";
    }
    result = vpci_slots_event(&host->slots, slot, generation,
                              VPCI_SLOT_ACCEPT + news, &fault);
    /*
     * The slot is empty before its functions are: no other news, and no
     * device_add, come in between.
     */
    if (result == VPCI_SLOT_OK) {
        for_each_function(host, slot, act[news], why ?: "no reason is given");
    }
    return result == VPCI_SLOT_BROKEN ? "news of a PCI slot that cannot be"
                                      : NULL;
}

/* ------------------------------------------------------------- the start */

static void describe_all(OwnerHost *host)
{
    vpci_slots_init(&host->slots, owner_slots(host));
    for (unsigned devfn = 0; devfn <= UINT8_MAX; devfn++) {
        PCIDevice *dev = owner_function(host, devfn);

        if (dev) {
            /* QEMU has held the functions of a slot against each other. */
            const char *why = vpci_slots_plug(
                &host->slots, devfn,
                dev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION, false);

            g_assert(!why);
            owner_tell(host, dev, tell);
        }
    }
    host->plugging = &plugging;
}

void vpci_describe(const VpciTell *calls)
{
    OwnerHost *host = owner_host();

    tell = calls;
    owner_start();
    if (host) {
        describe_all(host);
    }
    tell->end(host ? host->slots.n : 0, host ? owner_hotplug_slots(host) : 0);
}
