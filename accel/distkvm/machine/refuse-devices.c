/*
 * distkvm: devices and backends that cannot work, and why
 *
 * Refused when they are asked for, on the command line and while the guest
 * runs, with the reason and the remedy in one text: QMP has no hints.  Devices
 * of a follower, which the guest cannot see, cause a warning, but for drives.
 * Main thread, BQL held.  Spec: docs/limits.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-net.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-core.h"
#include "qemu/config-file.h"
#include "qemu/error-report.h"
#include "qemu/option.h"
#include "qobject/qdict.h"
#include "system/block-backend.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "system/hostmem.h"
#include "accel/distkvm/node.h"
#include "refuse-devices.h"

typedef struct Refused {
    const char *prefix, *why, *instead;
} Refused;

#define DISCARDS "what it discards here is another node's page, too"
#define NOT_COHERENT "its memory is not coherent"
#define NO_HOTPLUG "memory is not added while the guest runs"

static const Refused refused_devices[] = {
    { "vhost-", "its DMA bypasses this process",
      "use the virtio device that QEMU serves itself" },
    { "vfio-", "its DMA needs pinned guest memory",
      "use a virtio device" },
    { "virtio-balloon", DISCARDS,
      "leave it out; in libvirt: <memballoon model='none'/>" },
    { "hv-balloon", DISCARDS, "leave it out" },
    { "virtio-mem", DISCARDS, "give all memory with -m" },
    { "virtio-pmem", NOT_COHERENT, "use virtio-blk" },
    { "cxl-type3", NOT_COHERENT, "give all memory with -m" },
    { "pc-dimm", NO_HOTPLUG, "give all memory with -m" },
    { "nvdimm", NO_HOTPLUG, "give all memory with -m" },
    { "ivshmem", NOT_COHERENT, "use a network" },
    { "vmgenid", "it is written behind the guest",
      "leave it out; in libvirt: no <genid/>" },
    { "scsi-block", "the host's kernel works on guest pages for it",
      "use scsi-hd or scsi-cd, or scsi-generic; in libvirt:"
      " <disk type='block' device='disk'>" },
};

/* A device that the command line asks for. */
static bool all_made;

/* Does the name @type begin as one of @list does? */
static bool is_refused(const Refused *list, size_t n, const char *what,
                       const char *type, Error **errp)
{
    for (size_t i = 0; i < n; i++) {
        if (g_str_has_prefix(type, list[i].prefix)) {
            error_setg(errp, "distkvm: %s '%s' cannot work: %s; %s", what,
                       type, list[i].why, list[i].instead);
            return true;
        }
    }
    return false;
}

static bool device_is_refused(const char *type, Error **errp)
{
    return is_refused(refused_devices, ARRAY_SIZE(refused_devices), "device",
                      type, errp);
}

/* -------------------------------------------------------------- devices */

/*
 * A follower's; of other PCI devices its root ports know more.  QEMU's other
 * names for types are all of PCI devices, and no class has such a name.
 */
static void check_late(ObjectClass *oc, const char *driver, Error **errp)
{
    if (!object_class_dynamic_cast(oc, TYPE_PCI_DEVICE)) {
        error_setg(errp, "distkvm: device '%s' cannot work: this is node %d,"
                   " where PCI devices come and go while the guest runs, and no"
                   " others; add it on node 0 (%s), or start all nodes again"
                   " with it", driver, distkvm->id, distkvm->address[0]);
    } else if (PCI_DEVICE_CLASS(oc)->class_id == PCI_CLASS_DISPLAY_VGA) {
        error_setg(errp, "distkvm: device '%s' cannot work on node %d: it is a"
                   " VGA device, whose addresses are node 0's; use"
                   " secondary-vga or bochs-display", driver, distkvm->id);
    }
}

/* Of every device that -device and device_add ask for, before it is made. */
static bool asked_for_device(DeviceListener *listener, const QDict *opts,
                             bool from_json, Error **errp)
{
    const char *driver = qdict_get_try_str(opts, "driver");
    ObjectClass *oc = driver ? module_object_class_by_name(driver) : NULL;

    /* False in any case: such a device is not hidden, but an error. */
    if (!driver || device_is_refused(driver, errp) || !all_made) {
        return false;
    }
    if (oc && object_class_dynamic_cast(oc, TYPE_CPU)) {
        error_setg(errp, "distkvm: device '%s' cannot work: which node"
                   " executes a CPU is settled when all have joined; start all"
                   " nodes with a larger -smp", driver);
    } else if (oc && !distkvm_is_boot_node()) {
        check_late(oc, driver, errp);
    }
    return false;
}

static DeviceListener listener = {
    .hide_device = asked_for_device,
};

/* A device that the machine has by default. */
static int check_device(Object *obj, void *opaque)
{
    return device_is_refused(object_get_typename(obj), opaque);
}

/* ------------------------------------------------- a follower's devices */

static bool has_backend(Object *obj)
{
    static const char *const names[] = { "drive", "netdev", "fsdev",
                                         "chardev" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (object_property_find(obj, names[i])) {
            g_autofree char *value = object_property_get_str(obj, names[i],
                                                             NULL);
            if (value && *value) {
                return true;
            }
        }
    }
    return false;
}

static void list_device(GString *text, DeviceState *dev)
{
    g_string_append_printf(text, "%s%s", text->len ? ", " : "",
                           object_get_typename(OBJECT(dev)));
    if (dev->id) {
        g_string_append_printf(text, " '%s'", dev->id);
    }
}

/* Is @dev of this node's own chipset, or behind it?  Some have no bus at all. */
static bool is_of_chipset(DeviceState *dev)
{
    DeviceState *at = dev;

    while (at && !object_dynamic_cast(OBJECT(at), TYPE_PCI_DEVICE)) {
        at = at->parent_bus ? at->parent_bus->parent : NULL;
    }
    return at && !vpci_owns(dev);
}

/*
 * Bridges and controllers do nothing by themselves, and management tools add
 * them unasked.
 */
static int list_peripheral(Object *obj, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    DeviceClass *dc = dev ? DEVICE_GET_CLASS(dev) : NULL;

    if (dev && is_of_chipset(dev) && (has_backend(obj) ||
                test_bit(DEVICE_CATEGORY_NETWORK, dc->categories) ||
                test_bit(DEVICE_CATEGORY_DISPLAY, dc->categories) ||
                test_bit(DEVICE_CATEGORY_SOUND, dc->categories) ||
                test_bit(DEVICE_CATEGORY_INPUT, dc->categories))) {
        list_device(opaque, dev);
    }
    return 0;
}

/* Boards have empty drives by themselves.  Firmware's flash has no bus. */
static bool check_drives(Error **errp)
{
    for (BlockBackend *blk = blk_all_next(NULL); blk;
         blk = blk_all_next(blk)) {
        DeviceState *dev = blk_get_attached_dev(blk);

        if (dev && blk_bs(blk) && is_of_chipset(dev)) {
            error_setg(errp, "distkvm: drive '%s' (%s) cannot work on node %d:"
                       " it is behind this node's chipset (-cdrom, -drive"
                       " if=ide, if=floppy, bus=ide.0), which the guest does"
                       " not see; put it on node 0, or behind a PCI device of"
                       " this node (virtio-blk-pci, nvme, -device ahci)",
                       *blk_name(blk) ? blk_name(blk) : dev->id ?: "",
                       object_get_typename(OBJECT(dev)), distkvm->id);
            return false;
        }
    }
    return true;
}

static void warn_of_invisible(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    object_child_foreach(machine_get_container("peripheral"),
                         list_peripheral, text);
    object_child_foreach(machine_get_container("peripheral-anon"),
                         list_peripheral, text);
    if (text->len) {
        warn_report("distkvm: the guest sees PCI devices of node %d; it does"
                    " not see these, which belong on node 0: %s", distkvm->id,
                    text->str);
    }
}

/* ---------------------------------------------------- a follower's screen */

static int is_own_display(Object *obj, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);

    return dev && vpci_owns(dev) &&
           test_bit(DEVICE_CATEGORY_DISPLAY,
                    DEVICE_GET_CLASS(dev)->categories);
}

/* A user who sees a black screen, and types in vain, would suspect the guest. */
static bool check_screen(Error **errp)
{
    const QemuOptsList *vnc = qemu_find_opts_err("vnc", NULL);

    if (!vnc || QTAILQ_EMPTY(&vnc->head) ||
        object_child_foreach(machine_get_container("peripheral"),
                             is_own_display, NULL) ||
        object_child_foreach(machine_get_container("peripheral-anon"),
                             is_own_display, NULL)) {
        return true;
    }
    error_setg(errp, "distkvm: -vnc cannot work on node %d, which has no"
               " display: the guest's screen and keyboard are node 0's; give"
               " it to node 0 (%s), and -display none here, without which"
               " QEMU adds a -vnc; in libvirt: no <graphics/>", distkvm->id,
               distkvm->address[0]);
    return false;
}

/* ------------------------------------------------------------- backends */

/* Block devices are made before the accelerator is. */
static int accel_is_distkvm(void *opaque, QemuOpts *opts, Error **errp)
{
    return !g_strcmp0(qemu_opt_get(opts, "accel"), "distkvm");
}

bool distkvm_block_driver_fits(const char *format, Error **errp)
{
    static const char *const pinning[] = {
        "nvme", "io_uring", "nvme-io_uring", "virtio-blk-vfio-pci",
        "virtio-blk-vhost-user", "virtio-blk-vhost-vdpa",
    };

    for (size_t i = 0; i < ARRAY_SIZE(pinning); i++) {
        if (!strcmp(format, pinning[i]) &&
            (distkvm || qemu_opts_foreach(qemu_find_opts("accel"),
                                          accel_is_distkvm, NULL, NULL))) {
            error_setg(errp, "distkvm: block driver '%s' cannot work: it maps"
                       " guest memory for a device or another process; let"
                       " the host's kernel drive the device, and use"
                       " host_device", format);
            return false;
        }
    }
    return true;
}

static bool tap_uses_vhost(const NetdevTapOptions *tap)
{
    return tap->vhost || tap->vhostfd || tap->vhostfds || tap->vhostforce;
}

bool distkvm_netdev_fits(const Netdev *netdev, Error **errp)
{
    if (!distkvm) {
        return true;
    }
    if (netdev->type == NET_CLIENT_DRIVER_VHOST_USER ||
        netdev->type == NET_CLIENT_DRIVER_VHOST_VDPA) {
        error_setg(errp, "distkvm: netdev type '%s' cannot work: its DMA"
                   " bypasses this process; use tap, stream or user",
                   NetClientDriver_str(netdev->type));
        return false;
    }
    if (netdev->type == NET_CLIENT_DRIVER_TAP &&
        tap_uses_vhost(&netdev->u.tap)) {
        error_setg(errp, "distkvm: vhost=on cannot work: its DMA bypasses this"
                   " process; use vhost=off; in libvirt: <driver"
                   " name='qemu'/> in <interface>");
        return false;
    }
    return true;
}

static const Refused refused_objects[] = {
    { "cryptodev-vhost-", "its DMA bypasses this process",
      "use cryptodev-backend-builtin" },
    { "vhost-user-backend", "its DMA bypasses this process",
      "use a device that QEMU serves itself" },
    { "x-vfio-user-server", "its DMA bypasses this process",
      "leave it out" },
};

static bool backend_fits(HostMemoryBackend *backend, Error **errp)
{
    if (backend->prealloc) {
        error_setg(errp, "distkvm: prealloc cannot work: a page is allocated"
                   " on the node that uses it; use prealloc=off; in libvirt:"
                   " no <allocation mode='immediate'/>");
        return false;
    }
    if (all_made) {
        error_setg(errp, "distkvm: memory backend '%s' cannot work: " NO_HOTPLUG
                   "; give all memory with -m",
                   object_get_typename(OBJECT(backend)));
        return false;
    }
    return true;
}

bool distkvm_object_fits(Object *obj, Error **errp)
{
    HostMemoryBackend *backend =
        (HostMemoryBackend *)object_dynamic_cast(obj, TYPE_MEMORY_BACKEND);

    return !distkvm || ((!backend || backend_fits(backend, errp)) &&
                        !is_refused(refused_objects,
                                    ARRAY_SIZE(refused_objects), "object",
                                    object_get_typename(obj), errp));
}

/* Objects are made before the accelerator is, too. */
static int check_object(Object *obj, void *opaque)
{
    return !distkvm_object_fits(obj, opaque);
}

/* ------------------------------------------------------- initialisation */

void refuse_devices_init(void)
{
    device_listener_register(&listener);
}

bool refuse_devices_check(Error **errp)
{
    static Error *blocker;
    CPUState *cpu;

    if (object_child_foreach_recursive(object_get_root(), check_device,
                                       errp) ||
        object_child_foreach_recursive(object_get_objects_root(),
                                       check_object, errp) ||
        (!distkvm_is_boot_node() && !check_drives(errp))) {
        return false;
    }
    /* A discard of a page behind the protocol's back stops the guest. */
    if (ram_block_discard_disable(true)) {
        error_setg(errp, "distkvm: a device wants to discard guest memory,"
                   " which cannot work: " DISCARDS);
        return false;
    }
    error_setg(&blocker, "distkvm: a CPU cannot be unplugged: which node"
               " executes it was settled when all joined; let the guest take"
               " it offline");
    CPU_FOREACH(cpu) {
        qdev_add_unplug_blocker(DEVICE(cpu), blocker);
    }
    all_made = true;
    if (!distkvm_is_boot_node()) {
        warn_of_invisible();
        return check_screen(errp);
    }
    return true;
}
