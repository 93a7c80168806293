/*
 * distkvm: the time stamp counter that KVM gives a vCPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include "system/kvm.h"
#include "kvm-tsc.h"

#define IA32_TSC 0x10
/* More than a counter counts while one looks twice: 26 hours at 3 GHz. */
#define PROBE_TICKS (1LL << 48)

static int counter_read(int fd, uint64_t *value)
{
    struct {
        struct kvm_msrs info;
        struct kvm_msr_entry entry;
    } msr = { .info.nmsrs = 1, .entry.index = IA32_TSC };
    int ret = ioctl(fd, KVM_GET_MSRS, &msr);

    *value = msr.entry.data;
    return ret == 1 ? 0 : -EIO;
}

static int counter_shift(int fd, int64_t ticks)
{
    uint64_t offset = 0;
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)&offset,
    };

    if (ioctl(fd, KVM_GET_DEVICE_ATTR, &attr) < 0) {
        return -errno;
    }
    offset += ticks;
    return ioctl(fd, KVM_SET_DEVICE_ATTR, &attr) < 0 ? -errno : 0;
}

static bool obeys(int vcpu)
{
    uint64_t before, after;

    return counter_read(vcpu, &before) == 0 &&
           counter_shift(vcpu, PROBE_TICKS) == 0 &&
           counter_read(vcpu, &after) == 0 && after - before >= PROBE_TICKS;
}

bool vmi_kvm_tsc_obeys(void)
{
    int kvm = open(VMI_KVM_DEVICE, O_RDWR | O_CLOEXEC);
    int vm = RETRY_ON_EINTR(ioctl(kvm, KVM_CREATE_VM, 0));
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    bool does = obeys(vcpu);

    /* A descriptor that failed is -1, and fails every call after it. */
    close(vcpu);
    close(vm);
    close(kvm);
    return does;
}

int vmi_kvm_tsc_read(CPUState *cpu, uint64_t *value)
{
    return counter_read(cpu->kvm_fd, value);
}

int vmi_kvm_tsc_shift(CPUState *cpu, int64_t ticks)
{
    return counter_shift(cpu->kvm_fd, ticks);
}

int vmi_kvm_tsc_scale(CPUState *cpu, uint32_t khz)
{
    return kvm_vcpu_ioctl(cpu, KVM_SET_TSC_KHZ, (long)khz);
}
