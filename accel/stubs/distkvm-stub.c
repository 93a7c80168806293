/*
 * distkvm: for system emulators without it
 *
 * Calls that tools and user emulation make besides are in stubs/distkvm.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/code-generation.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm.h"
#include "qapi/qapi-commands-distkvm-pci.h"
#include "system/distkvm.h"

CodeGenerations code_generations;

bool distkvm_enabled(void)
{
    return false;
}

bool distkvm_numa_complete(MachineState *ms, Error **errp)
{
    return true;
}

bool distkvm_held_back(void)
{
    return false;
}

bool distkvm_kvm_has_x2apic(void)
{
    return false;
}

bool distkvm_kvm_msr(struct kvm_run *run)
{
    return false;
}

bool distkvm_vm_start(void)
{
    return false;
}

void distkvm_stop_asked(void)
{
}

bool distkvm_ends_unjoined(int *status)
{
    return false;
}

bool distkvm_may_go_on(Error **errp)
{
    return true;
}

bool distkvm_may_continue(Error **errp)
{
    return true;
}

bool distkvm_netdev_fits(const struct Netdev *netdev, Error **errp)
{
    return true;
}

bool distkvm_reset(ShutdownCause cause)
{
    return false;
}

bool distkvm_shutdown(ShutdownCause cause)
{
    return false;
}

void distkvm_ends(ShutdownCause cause)
{
}

bool distkvm_powerdown(void)
{
    return false;
}

void distkvm_apic_changed(void *apic)
{
}

bool distkvm_ioapic_eoi(int vector)
{
    return false;
}

bool distkvm_cpu_is_remote(const CPUState *cpu)
{
    return false;
}

bool distkvm_pic_changed(int level)
{
    return false;
}

bool distkvm_pic_output(int *level)
{
    return false;
}

bool distkvm_pic_acknowledge(int *vector)
{
    return false;
}

void distkvm_atomic_hint(uint64_t addr, int size)
{
}

DistKVMInfo *qmp_query_distkvm(Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
    return NULL;
}

DistKVMHomeList *qmp_query_distkvm_homes(Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
    return NULL;
}

DistKVMPages *qmp_query_distkvm_pages(bool has_cells, uint32_t cells,
                                      Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
    return NULL;
}

void qmp_distkvm_set_cap(uint64_t cap, Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
}

void qmp_distkvm_device_pull(const char *id, Error **errp)
{
    error_setg(errp, "-accel distkvm is not in use");
}

DistKVMPciFunctionList *qmp_query_distkvm_pci(bool has_config, bool config,
                                              Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
    return NULL;
}
