/*
 * distkvm: KVM executes a node's vCPUs
 *
 * KVM executes the local vCPUs with QEMU's own interrupt controllers, which
 * are the ones that span nodes.  Memory needs nothing here: the kernel's
 * faults reach userfaultfd, and its MMU notifier follows pages that are taken
 * away.
 * Spec: docs/architecture.rst, "KVM".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/kvm.h"
#include "accel/distkvm/node.h"
#include "kvm.h"
#include "kvm-tsc.h"
#include "tsc.h"

/* No ioctl on it does anything. */
#define NO_VCPU -1

/* Capabilities that are necessary. */
static const struct {
    int cap;
    const char *name;
} needed[] = {
    { KVM_CAP_IMMEDIATE_EXIT, "immediate exit (Linux 4.11)" },
    { KVM_CAP_SYNC_MMU, "an MMU that follows the host's page tables" },
    { KVM_CAP_READONLY_MEM, "read-only memory" },
};

/* -1 and @errp: there is none, or a host hides it behind another file. */
static int open_kvm(Error **errp)
{
    int fd = qemu_open(VMI_KVM_DEVICE, O_RDWR, errp);

    if (fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        error_setg(errp, "%s is not KVM's device", VMI_KVM_DEVICE);
        qemu_close(fd);
        fd = -1;
    }
    return fd;
}

bool vmi_kvm_usable(Error **errp)
{
    int fd = open_kvm(errp);
    bool ok = true;

    if (fd < 0) {
        error_prepend(errp, "distkvm: KVM cannot be used: ");
        error_append_hint(errp, "Load kvm_intel or kvm_amd and give the user"
                          " access to " VMI_KVM_DEVICE ", or use vmi=tcg.\n");
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(needed) && ok; i++) {
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
            error_setg(errp, "distkvm: this host's KVM lacks %s",
                       needed[i].name);
            error_append_hint(errp, "Use a newer kernel, or vmi=tcg.\n");
            ok = false;
        }
    }
    qemu_close(fd);
    return ok;
}

/* A module's parameter: 1, 0, or -1 if there is no such module. */
static int module_parameter(const char *module, const char *name)
{
    g_autofree char *path = g_strdup_printf("/sys/module/%s/parameters/%s",
                                            module, name);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return -1;
    }
    return text[0] == 'Y' || text[0] == '1';
}

bool vmi_kvm_walks_write(void)
{
    return module_parameter("kvm_intel", "eptad") == 1 ||
           module_parameter("kvm_amd", "npt") == 1;
}

bool vmi_kvm_check_host(Error **errp)
{
    /* Its shadows are not updated when another node writes to a table. */
    if (module_parameter("kvm_amd", "npt") == 0 ||
        module_parameter("kvm_intel", "ept") == 0) {
        error_setg(errp, "distkvm: this host's KVM shadows the guest's page"
                   " tables, and would not see another node change them");
        error_append_hint(errp, "Load kvm_amd with npt=1, or kvm_intel with"
                          " ept=1; or use vmi=tcg.\n");
        return false;
    }
    if (module_parameter("kvm_intel", "eptad") == 1) {
        warn_report("distkvm: walks of the guest's page tables count as"
                    " writes here, which is slow; load kvm_intel with"
                    " eptad=0");
    } else if (module_parameter("kvm_amd", "npt") == 1) {
        warn_report("distkvm: walks of the guest's page tables count as"
                    " writes on AMD processors: page tables that vCPUs of"
                    " several nodes use move between them"
                    " (unchanged-pages-sent of query-distkvm)");
    }
    return true;
}

void vmi_kvm_configure(Object *accel)
{
    /* An interrupt controller inside one kernel reaches only its vCPUs. */
    object_property_set_str(accel, "kernel-irqchip", "off", &error_abort);
}

void vmi_kvm_remote(CPUState *cpu)
{
    cpu->kvm_fd = NO_VCPU;
    /* QEMU's copy of its state is the only one. */
    cpu->vcpu_dirty = true;
}

/* ---------------------------------------------------------- operations */

static AccelOpsClass inner;

#define LOCAL_ONLY(name) \
    static void local_##name(CPUState *cpu) \
    { \
        if (distkvm_cpu_is_local(cpu)) { \
            inner.name(cpu); \
        } \
    }

LOCAL_ONLY(synchronize_post_init)
LOCAL_ONLY(synchronize_state)
LOCAL_ONLY(synchronize_pre_loadvm)

static void local_synchronize_post_reset(CPUState *cpu)
{
    if (distkvm_cpu_is_local(cpu)) {
        inner.synchronize_post_reset(cpu);
        vmi_tsc_after_reset(cpu);
    }
}

static int local_update_guest_debug(CPUState *cpu)
{
    return distkvm_cpu_is_local(cpu) ? inner.update_guest_debug(cpu) : 0;
}

void vmi_kvm_wrap_ops(AccelOpsClass *ops)
{
    inner = *ops;
    ops->synchronize_post_reset = local_synchronize_post_reset;
    ops->synchronize_post_init = local_synchronize_post_init;
    ops->synchronize_state = local_synchronize_state;
    ops->synchronize_pre_loadvm = local_synchronize_pre_loadvm;
    ops->update_guest_debug = local_update_guest_debug;
}
