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
#include "accel/distkvm/node.h"
#include "apic-id.h"
#include "replica.h"

static MemberApic *told;        /* as others know it, by vCPU; BQL */

static MemberApic identity_of(CPUState *cpu, const APICCommonState *s)
{
    return (MemberApic) {
        .cpu = cpu->cpu_index, .base = s->apicbase, .id = s->id,
        .ldr = s->log_dest, .dfr = s->dest_mode, .svr = s->spurious_vec,
        .lint0 = s->lvt[APIC_LVT_LINT0], .lint1 = s->lvt[APIC_LVT_LINT1],
    };
}

static bool equal(const MemberApic *a, const MemberApic *b)
{
    return a->base == b->base && a->id == b->id && a->ldr == b->ldr &&
           a->dfr == b->dfr && a->svr == b->svr && a->lint0 == b->lint0 &&
           a->lint1 == b->lint1;
}

void distkvm_apic_changed(void *opaque)
{
    APICCommonState *s = opaque;
    CPUState *cpu = CPU(s->cpu);
    MemberMessage change = { .type = MESSAGE_APIC };
    MemberApic now;

    if (!distkvm || !node_is_formed() || !distkvm_cpu_is_local(cpu)) {
        return;
    }
    now = identity_of(cpu, s);
    if (!told) {
        told = g_new0(MemberApic, distkvm->cpus.cpus);
    }
    /* Under KVM every exit says so. */
    if (equal(&now, &told[cpu->cpu_index])) {
        return;
    }
    told[cpu->cpu_index] = now;
    change.u.apic = now;
    replica_publish(&change);
    if (cpu == current_cpu) {
        replica_wait_on_cpu(cpu);
    }
}

static const char *apply(CohNodeId from, const MemberMessage *change)
{
    const MemberApic *now = &change->u.apic;
    CPUState *cpu = qemu_get_cpu(now->cpu);
    APICCommonState *s;

    if (!cpu ||
        distkvm_cpu_node(cpu->cpu_index) != from) {
        return "it sent the state of another node's local APIC";
    }
    s = APIC_COMMON(X86_CPU(cpu)->apic_state);
    s->apicbase = now->base;
    s->id = now->id;
    s->log_dest = now->ldr;
    s->dest_mode = now->dfr;
    s->spurious_vec = now->svr;
    s->lvt[APIC_LVT_LINT0] = now->lint0;
    s->lvt[APIC_LVT_LINT1] = now->lint1;
    return NULL;
}

void apic_id_init(void)
{
    static const ReplicaKind kind = {
        MESSAGE_APIC, offsetof(MemberMessage, u.apic.seq), apply,
    };

    replica_register(&kind);
}
