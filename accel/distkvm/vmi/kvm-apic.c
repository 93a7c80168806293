/*
 * distkvm: x2APIC mode under KVM, with QEMU's local APICs
 *
 * A KVM without local APICs of its own calls every access to one of x2APIC's
 * MSRs a mistake of the guest's; Linux 5.10 and newer can be asked to give such
 * mistakes to user space instead.  Entering the mode is no exit: the first
 * access after it tells QEMU, and that tells the other nodes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "cpu.h"
#include "hw/i386/apic.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "system/distkvm.h"
#include "system/kvm.h"
#include "kvm-apic.h"

/* MSRs of the registers of a local APIC, one each. */
#define X2APIC_FIRST 0x800
#define X2APIC_COUNT 0x100

bool distkvm_kvm_has_x2apic(void)
{
    return distkvm_enabled() &&
           kvm_vm_check_extension(kvm_state, KVM_CAP_X86_USER_SPACE_MSR) > 0;
}

bool vmi_kvm_x2apic_start(CPUState *cpu, Error **errp)
{
    int ret;

    if (!(cpu_env(cpu)->features[FEAT_1_ECX] & CPUID_EXT_X2APIC)) {
        return true;
    }
    /* QEMU itself asks for FILTER. */
    ret = kvm_vm_enable_cap(kvm_state, KVM_CAP_X86_USER_SPACE_MSR, 0,
                            KVM_MSR_EXIT_REASON_INVAL |
                            KVM_MSR_EXIT_REASON_FILTER);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "distkvm: KVM does not give the MSRs of"
                         " x2APIC to QEMU");
        error_append_hint(errp, "Use -cpu MODEL,x2apic=off on all nodes.\n");
    }
    return ret >= 0;
}

bool distkvm_kvm_msr(struct kvm_run *run)
{
    uint32_t index = run->msr.index - X2APIC_FIRST;
    uint64_t value = run->msr.data;
    int ret = -1;

    if (run->msr.reason != KVM_MSR_EXIT_REASON_INVAL) {
        return false;
    }
    if (index < X2APIC_COUNT) {
        bql_lock();
        ret = run->exit_reason == KVM_EXIT_X86_WRMSR
              ? apic_msr_write(index, value) : apic_msr_read(index, &value);
        bql_unlock();
    }
    run->msr.data = value;
    /* An MSR that neither KVM nor QEMU knows is the guest's mistake. */
    run->msr.error = ret < 0;
    return true;
}
