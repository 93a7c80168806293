/*
 * distkvm: what cannot work, and why
 *
 * Refused with the reason and the remedy, rather than failing later.
 * Spec: docs/limits.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "migration/blocker.h"
#include "qemu/option.h"
#include "qemu/config-file.h"
#include "system/cpu-timers.h"
#include "system/hostmem.h"
#include "system/system.h"
#include "distkvm-internal.h"

/* Switch an on/off/auto property off; refuse "on". */
static bool force_off(MachineState *ms, const char *name, const char *why,
                      Error **errp)
{
    g_autofree char *value = NULL;

    if (!object_property_find(OBJECT(ms), name)) {
        return true;
    }
    value = object_property_get_str(OBJECT(ms), name, NULL);
    if (!g_strcmp0(value, "on")) {
        error_setg(errp, "distkvm: %s=on cannot work: %s", name, why);
        error_append_hint(errp, "Use -machine %s=off.\n", name);
        return false;
    }
    return object_property_set_str(OBJECT(ms), name, "off", errp);
}

bool distkvm_refuse_machine(MachineState *ms, Error **errp)
{
    static Error *blocker;
    const char *type = object_class_get_name(object_get_class(OBJECT(ms)));

    if (!object_dynamic_cast(OBJECT(ms), "generic-pc-machine") ||
        strstr(type, "isapc")) {
        error_setg(errp, "distkvm: machine '%s' is not supported", type);
        error_append_hint(errp, "Use -machine q35 or -machine pc.\n");
        return false;
    }
    if (icount_enabled()) {
        error_setg(errp, "distkvm: -icount cannot work: instructions are"
                   " counted by each node alone");
        return false;
    }
    if (ms->smp.cpus != ms->smp.max_cpus || ms->maxram_size != ms->ram_size) {
        error_setg(errp, "distkvm: hot-plug of CPUs and memory is not"
                   " supported");
        error_append_hint(errp, "Leave maxcpus= and maxmem= out.\n");
        return false;
    }
    error_setg(&blocker, "distkvm: the guest's state is spread over several"
               " nodes: live migration, savevm, postcopy and background"
               " snapshots are not supported");
    return force_off(ms, "smm", "system management mode is not coherent"
                     " between nodes", errp) &&
           force_off(ms, "vmport", "its device reads registers of a vCPU that"
                     " may run on another node", errp) &&
           !migrate_add_blocker_modes(&blocker, errp, MIG_MODE_NORMAL,
                                      MIG_MODE_CPR_REBOOT, -1);
}

static const struct {
    const char *prefix;
    const char *why;
} refused_devices[] = {
    { "vhost-", "its DMA bypasses this process" },
    { "vfio-", "its DMA needs pinned guest memory" },
    { "virtio-balloon", "pages are given and taken by the protocol" },
    { "virtio-mem", "pages are given and taken by the protocol" },
    { "virtio-pmem", "its memory is not coherent" },
    { "pc-dimm", "hot-plug of memory is not supported" },
    { "nvdimm", "hot-plug of memory is not supported" },
    { "ivshmem", "its memory is not coherent" },
    { "vmgenid", "it is written behind the guest" },
};

static int check_device(Object *obj, void *opaque)
{
    Error **errp = opaque;
    const char *type = object_get_typename(obj);

    for (size_t i = 0; i < ARRAY_SIZE(refused_devices); i++) {
        if (g_str_has_prefix(type, refused_devices[i].prefix)) {
            error_setg(errp, "distkvm: device '%s' cannot work: %s", type,
                       refused_devices[i].why);
            return 1;
        }
    }
    return 0;
}

static int check_netdev(void *opaque, QemuOpts *opts, Error **errp)
{
    if (qemu_opt_get_bool(opts, "vhost", false)) {
        error_setg(errp, "distkvm: vhost=on cannot work: its DMA bypasses"
                   " this process");
        return -1;
    }
    return 0;
}

static int check_backend(Object *obj, void *opaque)
{
    Error **errp = opaque;
    HostMemoryBackend *backend =
        (HostMemoryBackend *)object_dynamic_cast(obj, TYPE_MEMORY_BACKEND);

    if (backend && backend->prealloc) {
        error_setg(errp, "distkvm: prealloc cannot work: a page is allocated"
                   " on the node that uses it");
        return 1;
    }
    return 0;
}

/* Off unless -cpu asks for it: accel_compat in distkvm-accel.c. */
static bool check_cpu(Error **errp)
{
    static const struct {
        const char *name, *why;
    } refused[] = {
        { "svm", "the tables of a guest's own guests are not coherent" },
        { "vmx", "the tables of a guest's own guests are not coherent" },
        { "tsc-deadline", "QEMU's local APIC has no such timer" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        if (object_property_get_bool(OBJECT(first_cpu), refused[i].name,
                                     NULL)) {
            error_setg(errp, "distkvm: -cpu ...,%s=on cannot work: %s",
                       refused[i].name, refused[i].why);
            error_append_hint(errp, "Leave %s out.\n", refused[i].name);
            return false;
        }
    }
    return true;
}

bool distkvm_refuse_devices(Error **errp)
{
    if (should_mlock(mlock_state)) {
        error_setg(errp, "distkvm: -overcommit mem-lock=on cannot work: pages"
                   " come and go");
        return false;
    }
    return check_cpu(errp) &&
           !object_child_foreach_recursive(object_get_root(), check_device,
                                           errp) &&
           !object_child_foreach_recursive(object_get_objects_root(),
                                           check_backend, errp) &&
           !qemu_opts_foreach(qemu_find_opts("netdev"), check_netdev, NULL,
                              errp);
}
