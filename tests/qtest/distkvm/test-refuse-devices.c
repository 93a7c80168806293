/*
 * distkvm: tests of refusals by name
 *
 * A build may lack what is refused (VFIO, blkio, vhost-vdpa), so that QEMU
 * itself cannot be asked for it; the lists must have it all the same.  The
 * machine around refuse-devices.c stands here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-net.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "qemu/config-file.h"
#include "qemu/module.h"
#include "qemu/option.h"
#include "qobject/qdict.h"
#include "system/block-backend.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/machine/refuse-devices.h"

static const char *const devices[] = {
    "vhost-scsi-pci", "vhost-user-blk-pci", "vhost-vdpa-device-pci",
    "vhost-vsock-pci", "vfio-pci", "vfio-pci-nohotplug", "virtio-balloon-pci",
    "virtio-balloon-device", "hv-balloon", "virtio-mem-pci", "virtio-pmem-pci",
    "cxl-type3", "pc-dimm", "nvdimm", "ivshmem-plain", "ivshmem-doorbell",
    "vmgenid", "scsi-block",
};

static const char *const fitting_devices[] = {
    "virtio-net-pci", "virtio-blk-pci", "e1000", "scsi-hd", "scsi-generic",
    "nvme", "virtio-rng-pci", "qemu-xhci", "cxl-rp",
};

static const char *const drivers[] = {
    "nvme", "io_uring", "nvme-io_uring", "virtio-blk-vfio-pci",
    "virtio-blk-vhost-user", "virtio-blk-vhost-vdpa",
};

static const char *const fitting_drivers[] = {
    "file", "host_device", "qcow2", "raw", "nbd", "null-co",
};

static const char *const objects[] = {
    "cryptodev-vhost-user", "cryptodev-vhost-vdpa", "vhost-user-backend",
    "x-vfio-user-server",
};

/* ------------------------------------------------------------ the machine */

CPUTailQ cpus_queue = QTAILQ_HEAD_INITIALIZER(cpus_queue);
static DeviceListener *listener;
static unsigned discards_disabled;
static int discards_fail;

void device_listener_register(DeviceListener *l)
{
    listener = l;
}

int ram_block_discard_disable(bool state)
{
    g_assert_true(state);
    discards_disabled += !discards_fail;
    return discards_fail;
}

void qdev_add_unplug_blocker(DeviceState *dev, Error *reason)
{
    g_assert_not_reached();
}

Object *machine_get_container(const char *name)
{
    g_assert_not_reached();
}

BlockBackend *blk_all_next(BlockBackend *blk)
{
    return NULL;
}

DeviceState *blk_get_attached_dev(BlockBackend *blk)
{
    g_assert_not_reached();
}

BlockDriverState *blk_bs(BlockBackend *blk)
{
    g_assert_not_reached();
}

const char *blk_name(const BlockBackend *blk)
{
    g_assert_not_reached();
}

bool vpci_owns(DeviceState *dev)
{
    g_assert_not_reached();
}

/* Of the command line, which names no accelerator here. */
static QemuOptsList accel_opts = {
    .name = "accel",
    .head = QTAILQ_HEAD_INITIALIZER(accel_opts.head),
    .desc = { { } },
};

static void start(void)
{
    distkvm = g_new0(DistKVM, 1);
    distkvm->nodes = 2;
    refuse_devices_init();
}

static void end(void)
{
    g_clear_pointer(&distkvm, g_free);
}

/* ---------------------------------------------------------------- devices */

/* The refusal of -device @name, or NULL; g_free. */
static char *asked_for(const char *name)
{
    g_autoptr(QDict) opts = qdict_new();
    Error *err = NULL;
    char *text;

    qdict_put_str(opts, "driver", name);
    g_assert_false(listener->hide_device(listener, opts, false, &err));
    text = err ? g_strdup(error_get_pretty(err)) : NULL;
    error_free(err);
    return text;
}

static void test_devices(void)
{
    start();
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        g_autofree char *why = asked_for(devices[i]);
        g_autofree char *words = g_strdup_printf("'%s' cannot work: ",
                                                 devices[i]);

        if (!why || !strstr(why, words) || !strstr(why, "; ")) {
            g_error("of %s it says %s", devices[i], why ?: "nothing");
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(fitting_devices); i++) {
        g_autofree char *why = asked_for(fitting_devices[i]);

        g_assert_null(why);
    }
    end();
}

/* -------------------------------------------------------------- backends */

static void test_block_drivers(void)
{
    start();
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        Error *err = NULL;

        if (distkvm_block_driver_fits(drivers[i], &err)) {
            g_error("%s is taken", drivers[i]);
        }
        g_assert_nonnull(strstr(error_get_pretty(err), "host_device"));
        error_free(err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fitting_drivers); i++) {
        g_assert_true(distkvm_block_driver_fits(fitting_drivers[i],
                                                &error_abort));
    }
    end();
    /* Plain QEMU takes all of them. */
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        g_assert_true(distkvm_block_driver_fits(drivers[i], &error_abort));
    }
}

static void test_netdevs(void)
{
    static const NetClientDriver types[] = {
        NET_CLIENT_DRIVER_VHOST_USER, NET_CLIENT_DRIVER_VHOST_VDPA,
    };
    const Netdev user = { .type = NET_CLIENT_DRIVER_USER };
    const Netdev tap = { .type = NET_CLIENT_DRIVER_TAP };

    start();
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const Netdev netdev = { .type = types[i] };
        Error *err = NULL;

        g_assert_false(distkvm_netdev_fits(&netdev, &err));
        g_assert_nonnull(strstr(error_get_pretty(err),
                                NetClientDriver_str(types[i])));
        error_free(err);
    }
    g_assert_true(distkvm_netdev_fits(&user, &error_abort));
    g_assert_true(distkvm_netdev_fits(&tap, &error_abort));
    end();
}

static void test_objects(void)
{
    start();
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        Object *obj = object_new(objects[i]);
        Error *err = NULL;

        if (distkvm_object_fits(obj, &err)) {
            g_error("%s is taken", objects[i]);
        }
        g_assert_nonnull(strstr(error_get_pretty(err), objects[i]));
        error_free(err);
        object_unref(obj);
    }
    end();
}

/* --------------------------------------------------------------- discards */

/*
 * A balloon, and all else that discards pages, does nothing from the start of
 * the guest on, also if it has a name that no list has.
 */
static void test_discards(void)
{
    Error *err = NULL;

    start();
    discards_fail = -EBUSY;
    g_assert_false(refuse_devices_check(&err));
    g_assert_nonnull(strstr(error_get_pretty(err), "discard"));
    error_free(err);
    g_assert_cmpint(discards_disabled, ==, 0);
    discards_fail = 0;
    g_assert_true(refuse_devices_check(&error_abort));
    g_assert_cmpint(discards_disabled, ==, 1);
    end();
}

/* QOM has the names of what this build lacks, but no code for them. */
static void add_types(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        const TypeInfo info = { .name = objects[i], .parent = TYPE_OBJECT };

        type_register_static(&info);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    add_types();
    qemu_add_opts(&accel_opts);
    g_test_add_func("/refuse-devices/devices", test_devices);
    g_test_add_func("/refuse-devices/block-drivers", test_block_drivers);
    g_test_add_func("/refuse-devices/netdevs", test_netdevs);
    g_test_add_func("/refuse-devices/objects", test_objects);
    g_test_add_func("/refuse-devices/discards", test_discards);
    return g_test_run();
}
