/*
 * distkvm: how a node comes up
 *
 * The one file that knows all parts and that none of them knows.  It holds the
 * order in which they are initialised, the calls that the engine and membership
 * expect of the node around them, and the hooks of a loss that belong to no
 * part.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-run-state.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/notify.h"
#include "qemu/timer.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "system/runstate.h"
#include "system/system.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/cluster/membership.h"
#include "accel/distkvm/cluster/path.h"
#include "accel/distkvm/machine/apic-id.h"
#include "accel/distkvm/machine/hello-agree.h"
#include "accel/distkvm/machine/hello-machine.h"
#include "accel/distkvm/machine/io.h"
#include "accel/distkvm/machine/io-serve.h"
#include "accel/distkvm/machine/irq.h"
#include "accel/distkvm/machine/irq-fence.h"
#include "accel/distkvm/machine/memmap.h"
#include "accel/distkvm/machine/memmap-apply.h"
#include "accel/distkvm/machine/numa.h"
#include "accel/distkvm/machine/pci.h"
#include "accel/distkvm/machine/pci-plug.h"
#include "accel/distkvm/machine/pic.h"
#include "accel/distkvm/machine/power-off.h"
#include "accel/distkvm/machine/refuse.h"
#include "accel/distkvm/machine/replica.h"
#include "accel/distkvm/machine/reset.h"
#include "accel/distkvm/machine/rpc.h"
#include "accel/distkvm/machine/runstate.h"
#include "accel/distkvm/machine/service.h"
#include "accel/distkvm/machine/test-device.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/vmi/fault-guard.h"
#include "accel/distkvm/vmi/kvm-apic.h"
#include "accel/distkvm/vmi/lease.h"
#include "accel/distkvm/vmi/split-lock.h"
#include "accel/distkvm/vmi/tcg-code.h"
#include "accel/distkvm/vmi/tsc.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/wire/dispatch.h"
#include "accel/distkvm/wire/text.h"
#include "accel/distkvm/wire/transport-stream.h"
#include "config.h"
#include "events.h"
#include "failure.h"
#include "node.h"
#include "qmp.h"
#include "say.h"
#include "start.h"

static StartOptions options;

/* ------------------------------------------------- calls of the engine */

static void frame_in_engine(void *opaque, const WireFrame *frame)
{
    dispatch_frame(frame);
}

static void peer_lost_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_expel(peer, why);
}

static void closed_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_closed(peer, why);
}

static void revoked_in_engine(void *opaque, CohPage page)
{
    code_page_revoked(page);
}

/* The local vCPU of thread @tid, or NULL.  No CPU comes or goes meanwhile. */
static CPUState *local_cpu(uint32_t tid)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->thread_id == tid) {
            return distkvm_cpu_is_local(cpu) ? cpu : NULL;
        }
    }
    return NULL;
}

static bool is_idle_in_engine(void *opaque, uint32_t tid)
{
    CPUState *cpu = local_cpu(tid);

    return cpu && qatomic_read(&cpu->halted);
}

/*
 * vCPUs alone: QEMU has its main loop create threads for them, since an
 * operator may bind them to CPUs.
 */
static bool may_bind_in_engine(void *opaque, uint32_t tid)
{
    return local_cpu(tid);
}

static uint32_t epoch_in_engine(void *opaque)
{
    return qatomic_read(&distkvm->epoch);
}

static void broken_in_engine(void *opaque, const char *why)
{
    member_broken(why);
}

static const EngineListener engine_listener = {
    .frame = frame_in_engine,
    .lost = peer_lost_in_engine,
    .closed = closed_in_engine,
    .revoked = revoked_in_engine,
    .is_idle = is_idle_in_engine,
    .may_bind = may_bind_in_engine,
    .epoch = epoch_in_engine,
    .broken = broken_in_engine,
};

static bool start_engine(Error **errp)
{
    Engine *engine;
    Mem *mem = mem_uffd_new(&distkvm->engine_config.lanes, errp);

    if (!mem) {
        return false;
    }
    if (!distkvm_ram_add_to(mem, errp)) {
        mem_free(mem);
        return false;
    }
    distkvm->engine_config.id = distkvm->id;
    distkvm->engine_config.map = distkvm->map;
    engine = engine_new(&distkvm->engine_config, mem, transport_stream_new,
                        &engine_listener, NULL, errp);
    if (!engine) {
        return false;
    }
    /* Pairs with query-distkvm, which may be asked out of band. */
    smp_wmb();
    distkvm->engine = engine;
    engine_start(distkvm->engine);
    return distkvm_start_transport(distkvm, errp);
}

/* ------------------------------------------------ calls of membership */

static void formed_in_main_loop(void *unused)
{
    Error *err = NULL;

    node_set_formed(true);
    say_info("distkvm: node %d: all %u nodes have joined", distkvm->id,
             distkvm->nodes);
    if (distkvm_is_boot_node()) {
        memmap_announce();
    }
    engine_settle_prejoin(distkvm->engine, distkvm_is_boot_node());
    if (!vmi_tsc_start(&err)) {
        failure_raise(error_get_pretty(err));
        error_free(err);
    }
    lease_start();
    pci_formed();
    cluster_runstate_formed();
}

static void formed(void)
{
    service_queue_main(formed_in_main_loop, NULL);
}

static void queue(MemberContext context, void (*fn)(void *opaque),
                  void *opaque)
{
    if (context == MEMBER_MAIN) {
        service_queue_main(fn, opaque);
    } else {
        service_queue(fn, opaque);
    }
}

/* Atomic; set once, ahead of the request to end. */
static bool unjoined;

bool distkvm_ends_unjoined(int *status)
{
    bool ends = qatomic_read(&unjoined);

    *status = ends ? EXIT_FAILURE : *status;
    return ends;
}

static void cannot_join(const char *why)
{
    qatomic_set(&unjoined, true);
    qemu_system_shutdown_request_with_code(SHUTDOWN_CAUSE_HOST_ERROR, 1);
}

static void left(CohNodeId node)
{
    /* A thread that waits for it waits in vain; the guest is over anyway. */
    failure_release();
    power_off_left(node);
}

typedef struct LostNode {
    CohNodeId node;
    char *why;
} LostNode;

static void lost_in_main_loop(void *opaque)
{
    LostNode *l = opaque;

    if (failure_note_lost(l->node, l->why)) {
        vpci_lost(l->node);
        events_node_lost(l->node, l->why);
    }
    g_free(l->why);
    g_free(l);
}

static void lost(CohNodeId node, const char *why)
{
    LostNode *l = g_new(LostNode, 1);

    l->node = node;
    l->why = text_line(why);
    service_queue_main(lost_in_main_loop, l);
}

/*
 * A peer whose frames pass may still be busy under its big lock, as while it
 * writes a dump: that is no loss, but it is named.
 */
static void name_wait(bool *said, int64_t since_ns, CohNodeId node,
                      const char *what)
{
    int64_t ms = since_ns ? (get_clock() - since_ns) / SCALE_MS : 0;
    g_autofree char *why = NULL;

    if (ms <= distkvm->dead_after_ms) {
        *said = false;
    } else if (!*said) {
        *said = true;
        say_warning("distkvm: node %d (%s) has not %s for %" PRId64 " ms,"
                    " and the guest may stand still until it does", node,
                    distkvm->address[node], what, ms);
        why = g_strdup_printf("it has not %s", what);
        events_node_slow(node, why, ms);
    }
}

static void name_waits(void)
{
    static bool said_io, said_token, said_replica, said_pci, said_irqs;
    CohNodeId node = 0, callee = 0, holder, owner, peer;
    int64_t since = replica_waits_since_ns(&node);
    int64_t call_since = rpc_waits_since_ns(&callee);
    int64_t token_since = split_lock_waits_since_ns(&holder);
    int64_t pci_since = pci_waits_since_ns(&owner);
    int64_t irqs_since = irq_fence_waits_since_ns(&peer);

    name_wait(&said_replica, since, node,
              "acknowledged a change of the memory map or of a local APIC");
    name_wait(&said_io, call_since, callee, "answered a device access");
    name_wait(&said_pci, pci_since, owner,
              "answered a PCI configuration cycle");
    name_wait(&said_irqs, irqs_since, peer,
              "served, or sent, interrupts that others wait behind");
    name_wait(&said_token, token_since, holder,
              "let go of, or granted, a misaligned LOCK");
    events_tick();
}

static void left_early(CohNodeId node)
{
    cluster_runstate_left_early(node);
    pci_left_early(node);
}

static const MemberOps member_ops = {
    .hello = hello_machine_make,
    .agrees = machine_hello_fits,
    .accepted = hello_machine_accept,
    .cannot_join = cannot_join,
    .joined = events_node_joined,
    .left_early = left_early,
    .formed = formed,
    .queue = queue,
    .tick = name_waits,
    .answered = lease_granted,
    .leaving = lease_end,
    .left = left,
    .lost = lost,
    .failed = failure_raise,
};

static void start_membership(void *unused)
{
    membership_start();
}

/* ------------------------------------------------- hooks of a loss */

static void stop_vcpus(void *unused)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (distkvm_cpu_is_local(cpu)) {
            qatomic_set(&cpu->stop, true);
            qatomic_set(&cpu->exit_request, true);
        }
    }
}

static void release_engine(void *unused)
{
    engine_fail(distkvm->engine);
}

static void stop_in_main_loop(void *unused)
{
    vm_stop(RUN_STATE_INTERNAL_ERROR);
    /* For management tools: a stop alone looks like a user's. */
    qapi_event_send_guest_panicked(GUEST_PANIC_ACTION_PAUSE, NULL);
    power_off_failed();
}

static void tell_main_loop(void *unused)
{
    service_queue_main(stop_in_main_loop, NULL);
}

static const DispatchHost dispatch_host = {
    .queue = service_queue,
    .expel = member_expel,
};

/* ------------------------------------------------------- initialisation */

/* vCPUs leave guest code in this order; threads are released in any. */
static void init_parts(void)
{
    failure_init();
    membership_init(&member_ops);
    failure_register(FAILURE_STOP_VCPUS, stop_vcpus, NULL);
    lease_init();
    code_init();
    failure_register(FAILURE_RELEASE, release_engine, NULL);
    failure_register(FAILURE_TELL, tell_main_loop, NULL);
    service_start();
    dispatch_start(&dispatch_host);
    replica_init();
    apic_id_init();
    memmap_init();
    rpc_init();
    irq_init();
    pic_init();
    io_init();
    io_serve_init();
    pci_init();
    pci_plug_init();
    split_lock_init();
    cluster_runstate_init();
    cluster_reset_init();
    power_off_init();
    distkvm_qmp_init();
    fault_guard_init();
}

static bool start(Error **errp)
{
    if (!credentials_load(options.tls_creds, options.tls_authz,
                          options.insecure, distkvm_over_unix(distkvm),
                          errp) ||
        !distkvm_refuse_devices(errp) ||
        !distkvm_config_mem(distkvm, options.mem, distkvm_ram_bytes(), errp) ||
        !distkvm_config_lanes(distkvm, options.lanes, errp) ||
        !distkvm_config_cap(distkvm, options.cap, options.mem, errp) ||
        (distkvm->vmi == DISTKVM_VMI_KVM &&
         !vmi_kvm_x2apic_start(first_cpu, errp))) {
        return false;
    }
    init_parts();
    if (options.test_device) {
        test_device_init();
    }
    if (!start_engine(errp)) {
        return false;
    }
    guest_numa_say();
    /* After the first reset, when the firmware is in place. */
    service_queue_main(start_membership, NULL);
    return true;
}

static void machine_is_done(Notifier *notifier, void *data)
{
    Error *err = NULL;

    if (!start(&err)) {
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
}

void start_when_machine_is_done(const StartOptions *given)
{
    static Notifier notifier = { .notify = machine_is_done };

    options = *given;
    qemu_add_machine_init_done_notifier(&notifier);
}
