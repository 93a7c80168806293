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
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "apic-id.h"
#include "replica.h"

/* What others know of a local APIC. */
typedef struct Identity {
    uint64_t base;
    uint32_t lint0, lint1, svr;
    uint8_t id, ldr, dfr;
} Identity;

static Identity *told;          /* by vCPU; BQL */

static Identity identity_of(const APICCommonState *s)
{
    return (Identity) {
        .base = s->apicbase, .id = s->id, .ldr = s->log_dest,
        .dfr = s->dest_mode, .svr = s->spurious_vec,
        .lint0 = s->lvt[APIC_LVT_LINT0], .lint1 = s->lvt[APIC_LVT_LINT1],
    };
}

static bool equal(const Identity *a, const Identity *b)
{
    return a->base == b->base && a->id == b->id && a->ldr == b->ldr &&
           a->dfr == b->dfr && a->svr == b->svr && a->lint0 == b->lint0 &&
           a->lint1 == b->lint1;
}

void distkvm_apic_changed(void *opaque)
{
    APICCommonState *s = opaque;
    CPUState *cpu = CPU(s->cpu);
    Identity now;
    QDict *message;

    if (!distkvm || !node_is_formed() || !distkvm_cpu_is_local(cpu)) {
        return;
    }
    now = identity_of(s);
    if (!told) {
        told = g_new0(Identity, distkvm->map.cpu_first[distkvm->nodes]);
    }
    /* Under KVM every exit says so. */
    if (equal(&now, &told[cpu->cpu_index])) {
        return;
    }
    told[cpu->cpu_index] = now;
    message = member_message("apic");
    qdict_put_int(message, "cpu", cpu->cpu_index);
    qdict_put_int(message, "base", now.base);
    qdict_put_int(message, "id", now.id);
    qdict_put_int(message, "ldr", now.ldr);
    qdict_put_int(message, "dfr", now.dfr);
    qdict_put_int(message, "svr", now.svr);
    qdict_put_int(message, "lint0", now.lint0);
    qdict_put_int(message, "lint1", now.lint1);
    replica_publish(message);
    if (cpu == current_cpu) {
        replica_wait_on_cpu(cpu);
    }
}

static const char *apply(CohNodeId from, const QDict *message)
{
    CPUState *cpu = qemu_get_cpu(qdict_get_try_int(message, "cpu", -1));
    APICCommonState *s;

    if (!cpu ||
        cluster_map_cpu_node(&distkvm->map, cpu->cpu_index) != from) {
        return "it sent the state of another node's local APIC";
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
    return NULL;
}

void apic_id_init(void)
{
    replica_register("apic", apply);
}
