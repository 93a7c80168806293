/*
 * distkvm: the identity of every local APIC, on every node
 *
 * Matching destinations needs other CPUs' ids, logical destinations, spurious
 * vectors and LINT entries.  They change rarely (mostly while a CPU comes
 * up); the CPU that changes its own waits until all nodes know.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "hw/i386/apic_internal.h"
#include "system/distkvm.h"
#include "distkvm-internal.h"

void distkvm_apic_changed(void *opaque)
{
    APICCommonState *s = opaque;
    CPUState *cpu = CPU(s->cpu);
    QDict *message;

    if (!distkvm || !control_is_formed() || !distkvm_cpu_is_local(cpu)) {
        return;
    }
    message = member_message("apic");
    qdict_put_int(message, "cpu", cpu->cpu_index);
    qdict_put_int(message, "base", s->apicbase);
    qdict_put_int(message, "id", s->id);
    qdict_put_int(message, "ldr", s->log_dest);
    qdict_put_int(message, "dfr", s->dest_mode);
    qdict_put_int(message, "svr", s->spurious_vec);
    qdict_put_int(message, "lint0", s->lvt[APIC_LVT_LINT0]);
    qdict_put_int(message, "lint1", s->lvt[APIC_LVT_LINT1]);
    mirror_broadcast(message);
    if (cpu == current_cpu) {
        mirror_wait_on_cpu(cpu);
    }
}

void apic_mirror_apply(const QDict *message)
{
    CPUState *cpu = qemu_get_cpu(qdict_get_try_int(message, "cpu", -1));
    APICCommonState *s;

    if (!cpu || distkvm_cpu_is_local(cpu)) {
        return;
    }
    s = APIC_COMMON(X86_CPU(cpu)->apic_state);
    s->apicbase = qdict_get_try_int(message, "base", s->apicbase);
    s->id = qdict_get_try_int(message, "id", s->id);
    s->log_dest = qdict_get_try_int(message, "ldr", s->log_dest);
    s->dest_mode = qdict_get_try_int(message, "dfr", s->dest_mode);
    s->spurious_vec = qdict_get_try_int(message, "svr", s->spurious_vec);
    s->lvt[APIC_LVT_LINT0] = qdict_get_try_int(message, "lint0",
                                               s->lvt[APIC_LVT_LINT0]);
    s->lvt[APIC_LVT_LINT1] = qdict_get_try_int(message, "lint1",
                                               s->lvt[APIC_LVT_LINT1]);
}
