/*
 * distkvm: the TSC under KVM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VMI_KVM_TSC_H
#define DISTKVM_VMI_KVM_TSC_H

#include "hw/core/cpu.h"

#define VMI_KVM_DEVICE "/dev/kvm"

/*
 * Does setting the TSC offset take effect?  Probed on a throw-away VM, as some
 * kernels cannot (Linux before 5.16), and others ignore it silently.  Main
 * thread.
 */
bool vmi_kvm_tsc_obeys(void);
/*
 * The counter of a local vCPU: read it, move it by @ticks, let it run at @khz.
 * 0 or -errno.  The vCPU's thread.
 */
int vmi_kvm_tsc_read(CPUState *cpu, uint64_t *value);
int vmi_kvm_tsc_shift(CPUState *cpu, int64_t ticks);
int vmi_kvm_tsc_scale(CPUState *cpu, uint32_t khz);

#endif
