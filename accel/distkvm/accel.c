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
#include "qapi/visitor.h"
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
#include "clock.h"
#include "config.h"
#include "failure.h"
#include "node.h"
#include "start.h"

#define TYPE_DISTKVM_ACCEL ACCEL_CLASS_NAME("distkvm")
OBJECT_DECLARE_SIMPLE_TYPE(DistKVMAccel, DISTKVM_ACCEL)

#define SPIN_AUTO -1
#define SPIN_US 20
/* Below this many host CPUs no engine spins. */
#define SPIN_CPUS_MIN 4
/* An xAPIC's ids are of eight bits, and this one means all CPUs. */
#define XAPIC_EVERYBODY 255

struct DistKVMAccel {
    AccelState parent_obj;

    char *vmi;
    char *peers;
    char *vcpus;
    char *mem;
    char *cap;
    char *cluster;
    char *tls_creds;
    char *tls_authz;
    char *transport;
    char *dma_policy;
    bool insecure;
    int64_t node;
    int64_t join_timeout_s;
    int64_t dead_after_ms;
    int64_t hold_us;
    int64_t delta_pages;
    int64_t readahead;
    bool walk_prefetch;
    int64_t spin_us;
    bool affinity;
    bool companions;
    int64_t lanes;
    int64_t clock_skew_ppm;
    bool numa, test_device;
    int64_t distance;
};

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

/* -------------------------------------------------------------- options */

#define STRING_PROPERTY(field) \
    static char *get_##field(Object *obj, Error **errp) \
    { \
        return g_strdup(DISTKVM_ACCEL(obj)->field); \
    } \
    static void set_##field(Object *obj, const char *value, Error **errp) \
    { \
        g_free(DISTKVM_ACCEL(obj)->field); \
        DISTKVM_ACCEL(obj)->field = g_strdup(value); \
    }

STRING_PROPERTY(vmi)
STRING_PROPERTY(peers)
STRING_PROPERTY(vcpus)
STRING_PROPERTY(mem)
STRING_PROPERTY(cap)
STRING_PROPERTY(cluster)
STRING_PROPERTY(tls_creds)
STRING_PROPERTY(tls_authz)
STRING_PROPERTY(transport)
STRING_PROPERTY(dma_policy)

static bool get_insecure(Object *obj, Error **errp)
{
    return DISTKVM_ACCEL(obj)->insecure;
}

static void set_insecure(Object *obj, bool value, Error **errp)
{
    DISTKVM_ACCEL(obj)->insecure = value;
}

typedef struct IntOption {
    const char *name;
    size_t offset;
    int64_t min, max, value;
    const char *text;
} IntOption;

#define INT_OPTION(name, field, min, max, value, text) \
    { name, offsetof(DistKVMAccel, field), min, max, value, text }

static const IntOption int_options[] = {
    INT_OPTION("node", node, 0, COH_NODES_MAX - 1, -1,
               "This node's place in peers=, from 0"),
    INT_OPTION("join-timeout", join_timeout_s, 1, 86400, 120,
               "Seconds to wait for all nodes"),
    INT_OPTION("dead-after-ms", dead_after_ms, 500, 600000, 4000,
               "A node that is silent for this long is lost"),
    INT_OPTION("hold-us", hold_us, 0, 100000, 100,
               "A page stays this long after it was fetched"),
    INT_OPTION("spin-us", spin_us, 0, 100000, SPIN_AUTO,
               "Look for work this long before sleeping"),
    INT_OPTION("delta-pages", delta_pages, 0, 1 << 20, 4096,
               "Pages remembered, to send only what changed; 0: whole pages"),
    INT_OPTION("readahead", readahead, 0, 256, 64,
               "Pages prefetched when memory is read in order; 0: none"),
    INT_OPTION("lanes", lanes, 0, LANES_MAX, 0,
               "Engine threads of each node; 0: one for four of its vCPUs"),
    INT_OPTION("distance", distance, NUMA_DISTANCE_LOWEST,
               NUMA_DISTANCE_HIGHEST, NUMA_DISTANCE_USUAL,
               "NUMA distance between nodes, of which 10 is local"),
    INT_OPTION("x-clock-skew-ppm", clock_skew_ppm, -1000, 1000, 0,
               "Test hook: this host's clock is that much fast"),
};

typedef struct BoolOption {
    const char *name;
    size_t offset;
    bool value;
    const char *text;
} BoolOption;

#define BOOL_OPTION(name, field, value, text) \
    { name, offsetof(DistKVMAccel, field), value, text }

static const BoolOption bool_options[] = {
    BOOL_OPTION("walk-prefetch", walk_prefetch, true,
                "Fetch the page tables of a walk together, and give nodes"
                " turns, where walks count as writes"),
    BOOL_OPTION("numa", numa, true,
                "Make each node a NUMA node of the guest, unless -numa is"
                " given"),
    BOOL_OPTION("companions", companions, true,
                "Prefetch pages that were missed together before"),
    BOOL_OPTION("affinity", affinity, true,
                "Let the engine run where this node's vCPU waits"),
    BOOL_OPTION("x-test-device", test_device, false,
                "Test hook: every node has a device; docs/testing.rst"),
};

/* Options that have another name, and on|off for 1 and 0. */
static const struct {
    const char *name, *now;
} renamed[] = {
    { "walk-bundles", "walk-prefetch" },
    { "follow", "affinity" },
};

static void get_int(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    const IntOption *o = opaque;

    visit_type_int(v, name, (int64_t *)((char *)obj + o->offset), errp);
}

static void set_int(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    const IntOption *o = opaque;
    int64_t value;

    if (!visit_type_int(v, name, &value, errp)) {
        return;
    }
    if (value < o->min || value > o->max) {
        error_setg(errp, "distkvm: %s=%" PRId64 " is not between %" PRId64
                   " and %" PRId64, name, value, o->min, o->max);
        return;
    }
    *(int64_t *)((char *)obj + o->offset) = value;
}

/* Of both directions. */
static void visit_bool(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    const BoolOption *o = opaque;

    visit_type_bool(v, name, (bool *)((char *)obj + o->offset), errp);
}

static void set_renamed(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    const char *now = opaque;

    error_setg(errp, "distkvm: %s= is called %s=on|off", name, now);
}

static void distkvm_accel_instance_init(Object *obj)
{
    DistKVMAccel *a = DISTKVM_ACCEL(obj);

    a->cluster = g_strdup("default");
    for (size_t i = 0; i < ARRAY_SIZE(int_options); i++) {
        const IntOption *o = &int_options[i];

        *(int64_t *)((char *)obj + o->offset) = o->value;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bool_options); i++) {
        const BoolOption *o = &bool_options[i];

        *(bool *)((char *)obj + o->offset) = o->value;
    }
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

static void add_string(ObjectClass *oc, const char *name,
                       char *(*get)(Object *, Error **),
                       void (*set)(Object *, const char *, Error **),
                       const char *text)
{
    object_class_property_add_str(oc, name, get, set);
    object_class_property_set_description(oc, name, text);
}

static void distkvm_accel_class_init(ObjectClass *oc, void *data)
{
    AccelClass *ac = ACCEL_CLASS(oc);

    ac->name = "distkvm";
    ac->init_machine = distkvm_init_machine;
    ac->allowed = &distkvm_allowed;
    ac->compat_props = g_ptr_array_new();
    compat_props_add(ac->compat_props, accel_compat, ARRAY_SIZE(accel_compat));

    add_string(oc, "vmi", get_vmi, set_vmi,
               "VMI of this node: kvm, tcg, auto; default: another -accel");
    add_string(oc, "peers", get_peers, set_peers,
               "Address of every node, in order: host:port/host:port, or"
               " unix:N:/dir");
    add_string(oc, "vcpus", get_vcpus, set_vcpus, "vCPUs of every node: 1/2/1");
    add_string(oc, "mem", get_mem, set_mem,
               "RAM that every node is home of, rounded to 2M: 1G/512M");
    add_string(oc, "cap", get_cap, set_cap,
               "RAM that this node holds at most; 0 for any amount");
    add_string(oc, "cluster", get_cluster, set_cluster, "Cluster's name");
    add_string(oc, "tls-creds", get_tls_creds, set_tls_creds,
               "Credentials object that every node proves itself with");
    add_string(oc, "tls-authz", get_tls_authz, set_tls_authz,
               "Object that says which certificates may join");
    add_string(oc, "transport", get_transport, set_transport,
               "Transport of frames: auto, shm, tls, or ucx");
    add_string(oc, "dma-policy", get_dma_policy, set_dma_policy,
               "Where devices' data meet pages: auto, visit, move, or faults");
    object_class_property_add_bool(oc, "insecure", get_insecure, set_insecure);
    object_class_property_set_description(oc, "insecure",
        "Let anybody in who can reach the addresses of peers=");
    for (size_t i = 0; i < ARRAY_SIZE(int_options); i++) {
        const IntOption *o = &int_options[i];

        object_class_property_add(oc, o->name, "int", get_int, set_int, NULL,
                                  (void *)o);
        object_class_property_set_description(oc, o->name, o->text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bool_options); i++) {
        const BoolOption *o = &bool_options[i];

        object_class_property_add(oc, o->name, "bool", visit_bool, visit_bool,
                                  NULL, (void *)o);
        object_class_property_set_description(oc, o->name, o->text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++) {
        object_class_property_add(oc, renamed[i].name, "bool", NULL,
                                  set_renamed, NULL, (void *)renamed[i].now);
    }
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
