/*
 * distkvm: machines that cannot work, and why
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
#include "migration/blocker.h"
#include "system/cpu-timers.h"
#include "system/system.h"
#include "accel/distkvm/node.h"
#include "refuse-devices.h"
#include "refuse.h"

/* Switch an on/off/auto property off; refuse "on". */
static bool force_off(MachineState *ms, const char *name, const char *why,
                      const char *libvirt, Error **errp)
{
    g_autofree char *value = NULL;

    if (!object_property_find(OBJECT(ms), name)) {
        return true;
    }
    value = object_property_get_str(OBJECT(ms), name, NULL);
    if (!g_strcmp0(value, "on")) {
        error_setg(errp, "distkvm: %s=on cannot work: %s", name, why);
        error_append_hint(errp, "Use -machine %s=off; in libvirt: %s.\n", name,
                          libvirt);
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
    if (ms->cgs) {
        error_setg(errp, "distkvm: confidential-guest-support cannot work: a"
                   " page is encrypted with its host's key");
        error_append_hint(errp, "Leave it out; in libvirt: no"
                          " <launchSecurity/>.\n");
        return false;
    }
    error_setg(&blocker, "distkvm: the guest's state is spread over several"
               " nodes: live migration, savevm, postcopy and background"
               " snapshots are not supported");
    refuse_devices_init();
    return force_off(ms, "smm", "system management mode is not coherent"
                     " between nodes", "<smm state='off'/> in <features>, and"
                     " where <os firmware='efi'> has switched it on, <firmware>"
                     "<feature enabled='no' name='secure-boot'/></firmware>"
                     " in <os>", errp) &&
           force_off(ms, "vmport", "its device reads registers of a vCPU that"
                     " may run on another node", "<vmport state='off'/> in"
                     " <features>", errp) &&
           !migrate_add_blocker_modes(&blocker, errp, MIG_MODE_NORMAL,
                                      MIG_MODE_CPR_REBOOT, -1);
}

/* Off unless -cpu asks for it: accel_compat in accel.c. */
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
    return check_cpu(errp) && refuse_devices_check(errp);
}
