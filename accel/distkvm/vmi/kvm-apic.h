/*
 * distkvm: the local APIC's x2APIC mode under KVM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VMI_KVM_APIC_H
#define DISTKVM_VMI_KVM_APIC_H

#include "hw/core/cpu.h"

/*
 * Before @cpu runs: its x2APIC, if any.  False and @errp if it cannot.  Main
 * thread.
 */
bool vmi_kvm_x2apic_start(CPUState *cpu, Error **errp);

#endif
