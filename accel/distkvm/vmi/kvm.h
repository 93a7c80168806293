/*
 * distkvm: KVM executes a node's vCPUs
 *
 * Main thread, unless said otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VMI_KVM_H
#define DISTKVM_VMI_KVM_H

#include "qom/object.h"
#include "hw/core/cpu.h"
#include "system/accel-ops.h"

/* False and @errp, with the remedy, if KVM cannot be used here. */
bool vmi_kvm_usable(Error **errp);
/*
 * False and @errp if the guest's page tables would not be coherent; warns
 * where walking them is slow.
 */
bool vmi_kvm_check_host(Error **errp);
/* Does walking a guest's page tables count as writing to them here? */
bool vmi_kvm_walks_write(void);
/* Before @accel, a KVM accelerator, is initialised. */
void vmi_kvm_configure(Object *accel);
/* Replace those of @ops that must know of remote vCPUs. */
void vmi_kvm_wrap_ops(AccelOpsClass *ops);
/* @cpu is another node's: KVM has no vCPU for it. */
void vmi_kvm_remote(CPUState *cpu);

#endif
