/*
 * distkvm: the accelerator
 *
 * Creates the inner accelerator that executes this node's vCPUs, puts it in
 * its own place, and wraps its operations: vCPUs of other nodes get a thread
 * that executes nothing, interrupts and clocks go by the cluster.
 * Main thread.  Spec: docs/architecture.rst, "Accelerator".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "hw/i386/x86.h"
#include "hw/intc/i8259.h"
#include "hw/qdev-properties.h"
#include "qemu/accel.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "system/accel-ops.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "system/hostmem.h"
#include "system/runstate.h"
#include "system/system.h"
#include "accel/distkvm/cluster/path.h"
#include "accel/distkvm/machine/irq.h"
#include "accel/distkvm/machine/numa.h"
#include "accel/distkvm/machine/refuse.h"
#include "accel/distkvm/vmi/kvm.h"
#include "accel/distkvm/vmi/kvm-tsc.h"
#include "accel/distkvm/vmi/tsc.h"
#include "accel-help.h"
#include "accel-options.h"
#include "clock.h"
#include "config.h"
#include "failure.h"
#include "node.h"
#include "start.h"

#define SPIN_US 20
/* Below this many host CPUs no engine spins. */
#define SPIN_CPUS_MIN 4
/* An xAPIC's ids are of eight bits, and this one means all CPUs. */
#define XAPIC_EVERYBODY 255

static bool distkvm_allowed;
static AccelOpsClass inner_ops;

bool distkvm_enabled(void)
{
    return distkvm;
}

bool distkvm_must_bounce(void)
{
    return distkvm;
}

bool distkvm_fenced(void)
{
    return distkvm && failure_is_fenced();
}

/* ---------------------------------------------------------- operations */

bool distkvm_cpu_is_remote(const CPUState *cpu)
{
    return distkvm && !distkvm_cpu_is_local(cpu);
}

static void distkvm_create_vcpu_thread(CPUState *cpu)
{
    if (distkvm_cpu_is_local(cpu)) {
        inner_ops.create_vcpu_thread(cpu);
    } else {
        vmi_kvm_remote(cpu);
        dummy_start_vcpu_thread(cpu);
    }
}

static void distkvm_kick_vcpu_thread(CPUState *cpu)
{
    if (distkvm_cpu_is_local(cpu) && inner_ops.kick_vcpu_thread) {
        inner_ops.kick_vcpu_thread(cpu);
    } else if (cpu->created) {
        cpus_kick_thread(cpu);
    }
}

static void local_handle_interrupt(CPUState *cpu, int mask)
{
    cpu->interrupt_request |= mask;
    if (!qemu_cpu_is_self(cpu)) {
        qemu_cpu_kick(cpu);
    }
}

/* Asked before a vCPU's thread sleeps. */
static bool distkvm_cpu_thread_is_idle(CPUState *cpu)
{
    if (distkvm->engine && qemu_cpu_is_self(cpu)) {
        /*
         * A thread that sees the effect of engine_thread_idle() sees the halt.
         */
        smp_mb();
        engine_thread_idle(distkvm->engine);
    }
    return !inner_ops.cpu_thread_is_idle || inner_ops.cpu_thread_is_idle(cpu);
}

static void distkvm_ops_init(AccelOpsClass *ops)
{
    if (inner_ops.ops_init) {
        inner_ops.ops_init(ops);
    }
    if (distkvm->vmi == DISTKVM_VMI_KVM) {
        vmi_kvm_wrap_ops(ops);
    }
    inner_ops = *ops;
    irq_set_local_handler(ops->handle_interrupt ?: local_handle_interrupt);
    ops->create_vcpu_thread = distkvm_create_vcpu_thread;
    ops->kick_vcpu_thread = distkvm_kick_vcpu_thread;
    ops->handle_interrupt = irq_handle_interrupt;
    ops->cpu_thread_is_idle = distkvm_cpu_thread_is_idle;
    if (distkvm->vmi != DISTKVM_VMI_QTEST) {
        ops->get_virtual_clock = cluster_clock_ns;
        ops->get_elapsed_ticks = vmi_tsc_ticks;
    }
}

/* ------------------------------------------------------- initialisation */

static const char *const vmi_name[] = {
    [DISTKVM_VMI_TCG] = "tcg",
    [DISTKVM_VMI_KVM] = "kvm",
    [DISTKVM_VMI_QTEST] = "qtest",
};

static void choose_vmi(DistKVM *d)
{
    Error *err = NULL;

    if (vmi_kvm_usable(&err) && vmi_kvm_check_host(&err)) {
        d->vmi = DISTKVM_VMI_KVM;
        info_report("distkvm: vmi=auto: KVM executes this node's vCPUs");
    } else {
        d->vmi = DISTKVM_VMI_TCG;
        info_report("distkvm: vmi=auto: TCG executes this node's vCPUs (%s)",
                    error_get_pretty(err));
        error_free(err);
    }
}

static bool parse_vmi(DistKVM *d, const char *vmi, Error **errp)
{
    if (!strcmp(vmi, "auto")) {
        choose_vmi(d);
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(vmi_name); i++) {
        if (!strcmp(vmi, vmi_name[i])) {
            d->vmi = i;
            return i != DISTKVM_VMI_KVM ||
                   (vmi_kvm_usable(errp) && vmi_kvm_check_host(errp));
        }
    }
    error_setg(errp, "distkvm: vmi=%s is not known", vmi);
    error_append_hint(errp, "Use vmi=kvm, vmi=tcg, vmi=auto or vmi=qtest.\n");
    return false;
}

/*
 * A wake-up costs more than the network, so spinning pays; but not where it
 * takes the CPU from a vCPU.
 */
static int64_t spin_us(const DistKVMAccel *a)
{
    if (a->spin_us != SPIN_AUTO) {
        return a->spin_us;
    }
    return sysconf(_SC_NPROCESSORS_ONLN) >= SPIN_CPUS_MIN ? SPIN_US : 0;
}

static bool configure(DistKVMAccel *a, MachineState *ms, DistKVM *d,
                      Error **errp)
{
    if (!distkvm_config_peers(d, a->peers, a->node, errp) ||
        !distkvm_config_transport(d, a->transport, errp) ||
        !distkvm_config_dma(d, a->dma_policy, errp) ||
        !parse_vmi(d, a->vmi ?: distkvm_config_default_vmi(), errp) ||
        !distkvm_config_vcpus(d, a->vcpus, ms->smp.cpus, errp)) {
        return false;
    }
    d->cluster = g_strdup(a->cluster);
    d->join_timeout_ms = a->join_timeout_s * 1000;
    d->dead_after_ms = a->dead_after_ms;
    d->engine_config.hold_ns = a->hold_us * 1000;
    d->engine_config.delta_pages = a->delta_pages;
    d->engine_config.walks_write = a->walk_prefetch &&
                                   d->vmi == DISTKVM_VMI_KVM &&
                                   vmi_kvm_walks_write();
    d->engine_config.readahead = a->readahead;
    d->engine_config.spin_ns = spin_us(a) * 1000;
    d->engine_config.companions = a->companions;
    d->engine_config.affinity = a->affinity;
    cluster_clock_init(a->clock_skew_ppm);
    return true;
}

/* Where a guest must not rely on its TSC. */
static GlobalProperty unruly_tsc[] = {
    { "x86_64-cpu", "invtsc", "off" },
};

/* Where a vCPU's id is none that an xAPIC can have. */
static GlobalProperty large_ids[] = {
    { "x86_64-cpu", "x2apic", "on" },
};

/* Properties that depend on host and machine, before any CPU is made. */
static void add_compat(MachineState *ms)
{
    GPtrArray *props = ACCEL_GET_CLASS(ms->accelerator)->compat_props;

    if (distkvm->vmi == DISTKVM_VMI_KVM && !vmi_kvm_tsc_obeys()) {
        warn_report("distkvm: this host's KVM does not set the TSC of vCPUs,"
                    " as Linux before 5.16 does not, so the guest is told not"
                    " to rely on it: start all nodes with -cpu"
                    " MODEL,invtsc=off");
        compat_props_add(props, unruly_tsc, G_N_ELEMENTS(unruly_tsc));
    }
    /* Ids have gaps: a socket of three cores takes four. */
    if (x86_cpu_apic_id_from_index(X86_MACHINE(ms), ms->smp.max_cpus - 1) >=
        XAPIC_EVERYBODY) {
        compat_props_add(props, large_ids, G_N_ELEMENTS(large_ids));
    }
}

static int start_inner(MachineState *ms)
{
    const char *vmi = vmi_name[distkvm->vmi];
    g_autofree char *type = g_strdup_printf("%s" ACCEL_CLASS_SUFFIX, vmi);
    g_autofree char *ops_type = g_strdup_printf("%s" ACCEL_OPS_SUFFIX, type);
    ObjectClass *ops_class = module_object_class_by_name(ops_type);
    AccelState *inner = ACCEL(object_new(type));
    AccelClass *ac = ACCEL_GET_CLASS(inner);
    AccelOpsClass *ops = ACCEL_OPS_CLASS(ops_class);

    if (distkvm->vmi == DISTKVM_VMI_TCG) {
        /* One thread for all vCPUs would execute those of other nodes. */
        object_property_set_str(OBJECT(inner), "thread", "multi", &error_abort);
    } else if (distkvm->vmi == DISTKVM_VMI_KVM) {
        vmi_kvm_configure(OBJECT(inner));
    }
    inner_ops = *ops;
    ops->ops_init = distkvm_ops_init;
    ms->accelerator = inner;
    *ac->allowed = true;
    return ac->init_machine(ms);
}

/* Options that need the whole machine. */
static void start_later(const DistKVMAccel *a)
{
    const StartOptions options = {
        .mem = g_strdup(a->mem), .cap = g_strdup(a->cap),
        .tls_creds = g_strdup(a->tls_creds),
        .tls_authz = g_strdup(a->tls_authz),
        .insecure = a->insecure, .lanes = a->lanes,
        .test_device = a->test_device,
    };

    start_when_machine_is_done(&options);
}

static void numa_later(const DistKVMAccel *a, MachineState *ms)
{
    const GuestNumaOptions options = {
        .on = a->numa, .distance = a->distance, .mem = g_strdup(a->mem),
    };

    guest_numa_init(ms, &options);
}

static int distkvm_init_machine(MachineState *ms)
{
    DistKVMAccel *a = DISTKVM_ACCEL(ms->accelerator);
    DistKVM *d = g_new0(DistKVM, 1);
    Error *err = NULL;

    if (!distkvm_refuse_machine(ms, &err) || !configure(a, ms, d, &err)) {
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
    distkvm = d;
    if (!distkvm_is_boot_node()) {
        vpci_own(d->id);
    }
    numa_later(a, ms);
    add_compat(ms);
    start_later(a);
    return start_inner(ms);
}

static GlobalProperty accel_compat[] = {
    /*
     * Off by default: few guests need x2APIC, and old KVMs do not forward its
     * MSRs.  large_ids[] turns it on.
     */
    { "x86_64-cpu", "x2apic", "off" },
    /* It patches the guest's code while pausing this node's vCPUs only. */
    { "apic-common", "vapic", "off" },
    /* Offers of a hypervisor to its guest differ between nodes. */
    { "x86_64-cpu", "kvm", "off" },
    { "x86_64-cpu", "tcg-cpuid", "off" },
    /* KVM offers it, but the APIC is QEMU's, which has no such timer. */
    { "x86_64-cpu", "tsc-deadline", "off" },
    /* It is so on all nodes; a guest that is not told reads node 0's timer. */
    { "x86_64-cpu", "invtsc", "on" },
    /* A guest's own guests would need their nested tables coherent. */
    { "x86_64-cpu", "svm", "off" },
    { "x86_64-cpu", "vmx", "off" },
    { "ICH9-LPC", "disable_s3", "1" },
    { "PIIX4_PM", "disable_s3", "1" },
};

static void distkvm_accel_instance_init(Object *obj)
{
    accel_options_init(DISTKVM_ACCEL(obj));
}

static void distkvm_accel_class_init(ObjectClass *oc, void *data)
{
    AccelClass *ac = ACCEL_CLASS(oc);

    ac->name = "distkvm";
    ac->init_machine = distkvm_init_machine;
    ac->allowed = &distkvm_allowed;
    ac->compat_props = g_ptr_array_new();
    compat_props_add(ac->compat_props, accel_compat, ARRAY_SIZE(accel_compat));

    accel_options_add(oc);
    accel_help_add(oc);
}

static const TypeInfo distkvm_accel_info = {
    .name = TYPE_DISTKVM_ACCEL,
    .parent = TYPE_ACCEL,
    .instance_size = sizeof(DistKVMAccel),
    .instance_init = distkvm_accel_instance_init,
    .class_init = distkvm_accel_class_init,
};

static void distkvm_accel_register_types(void)
{
    type_register_static(&distkvm_accel_info);
}

type_init(distkvm_accel_register_types)
