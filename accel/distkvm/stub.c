/*
 * distkvm: for binaries without it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm.h"
#include "qemu/atomic.h"
#include "system/distkvm.h"

/* As in exec/code-generation.h, whose other names need a target. */
struct {
    uint64_t pages;
    uint32_t *of;
} code_generations;

bool distkvm_enabled(void)
{
    return false;
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

bool distkvm_may_go_on(Error **errp)
{
    return true;
}

bool distkvm_block_driver_fits(const char *format, Error **errp)
{
    return true;
}

bool distkvm_netdev_fits(const struct Netdev *netdev, Error **errp)
{
    return true;
}

bool distkvm_object_fits(Object *obj, Error **errp)
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

void distkvm_atomic_begin(CPUState *cpu)
{
}

void distkvm_atomic_pin(CPUState *cpu)
{
}

void distkvm_atomic_end(CPUState *cpu)
{
}

bool distkvm_must_bounce(void)
{
    return false;
}

bool distkvm_fenced(void)
{
    return false;
}

DistKVMInfo *qmp_query_distkvm(Error **errp)
{
    error_setg(errp, "distkvm is not in this binary");
    return NULL;
}
