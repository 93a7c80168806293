/*
 * distkvm: PCI functions of followers, between node 0 and their owners
 *
 * The guest's cycles in a function's configuration space go from node 0 to the
 * owner, and the bytes that they changed come back.  Knows nothing of devices:
 * those are in hw/vpci-cluster, behind system/distkvm-pci.h.
 * Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/trace.h"
#include "accel/distkvm/wire/dispatch.h"
#include "io.h"
#include "io-serve.h"
#include "irq.h"
#include "may-wait.h"
#include "memmap-apply.h"
#include "pci.h"
#include "pci-config.h"
#include "pci-msi.h"
#include "replica.h"
#include "reset.h"
#include "service.h"

/*
 * A cycle of the guest, until its answer is applied.  Answers are applied in
 * the order in which they come, which is that in which the owner performed
 * them, on whichever thread has the BQL next.
 */
typedef struct Cycle {
    uint64_t number;
    CohNodeId node;
    uint8_t devfn;
    uint64_t generation;        /* of the slot at @node                     */
    unsigned addr;
    uint32_t data;
    bool answered;
    int64_t since_ns;           /* get_clock() when it was asked            */
    GByteArray *changes;
    QemuSemaphore done;         /* of a cycle that a thread waits for       */
    IoAnswer *deferred;         /* of one that is served for another node   */
    QTAILQ_ENTRY(Cycle) next;
} Cycle;

typedef QTAILQ_HEAD(CycleList, Cycle) CycleList;

/* Nodes that have told of all their functions.  Main thread. */
static CohNodeSet complete;

static struct {
    QemuMutex lock;
    CycleList asked, answered;  /* under it, as the next two                */
    uint64_t last_number;
    bool failed;
} pci;

/* ---------------------------------------------------------------- node 0 */

static Cycle *cycle_new(unsigned node, uint8_t devfn, uint64_t generation,
                        const VpciAccess *access, IoAnswer *deferred)
{
    Cycle *cycle = g_new0(Cycle, 1);

    cycle->node = node;
    cycle->devfn = devfn;
    cycle->generation = generation;
    cycle->addr = access->addr;
    /* A host bridge reads this from a bus where no device answers. */
    cycle->data = UINT32_MAX >> (32 - access->size * 8);
    cycle->changes = g_byte_array_new();
    cycle->deferred = deferred;
    qemu_sem_init(&cycle->done, 0);
    return cycle;
}

static void cycle_free(Cycle *cycle)
{
    qemu_sem_destroy(&cycle->done);
    g_byte_array_unref(cycle->changes);
    g_free(cycle);
}

/* False: a node is lost, and no answer would come. */
static bool ask(Cycle *cycle, const VpciAccess *access)
{
    WireFrame frame = {
        .type = WIRE_PCI_CONFIG,
        .sub = access->write ? WIRE_IO_WRITE : WIRE_IO_READ,
        .pci_config = {
            .generation = cycle->generation,
            .data = access->write ? access->data : 0,
            .addr = access->addr, .devfn = cycle->devfn,
            .size = access->size,
        },
    };

    QEMU_LOCK_GUARD(&pci.lock);
    if (pci.failed) {
        return false;
    }
    cycle->number = frame.call = ++pci.last_number;
    cycle->since_ns = get_clock();
    QTAILQ_INSERT_TAIL(&pci.asked, cycle, next);
    engine_post(distkvm->engine, cycle->node, &frame);
    return true;
}

static void apply(Cycle *cycle)
{
    const char *why = cycle->answered
        ? vpci_changed(cycle->node, cycle->devfn, cycle->generation,
                       cycle->changes->data, cycle->changes->len) : NULL;

    if (why) {
        g_autofree char *text = g_strdup_printf("it answered with %s", why);

        member_expel(cycle->node, text);
    }
    if (cycle->deferred) {
        io_complete(cycle->deferred, cycle->addr, cycle->data);
        cycle_free(cycle);
    }
}

/* BQL held. */
static void apply_answered(void *unused)
{
    Cycle *cycle;

    for (;;) {
        WITH_QEMU_LOCK_GUARD(&pci.lock) {
            cycle = QTAILQ_FIRST(&pci.answered);
            if (cycle) {
                QTAILQ_REMOVE(&pci.answered, cycle, next);
            }
        }
        if (!cycle) {
            return;
        }
        apply(cycle);
    }
}

/* A vCPU's own cycle, or qtest's: not one of the monitor, nor of a reset. */
static bool may_wait_for(const VpciAccess *access)
{
    if (access->attrs) {
        return may_wait(*access->attrs);
    }
    return current_cpu ? distkvm_cpu_is_local(current_cpu)
                       : distkvm->vmi == DISTKVM_VMI_QTEST;
}

/*
 * The answer of another node, which waits for this cycle; NULL: there is none,
 * or the cycle is DMA, of which its answer shows nothing.
 */
static IoAnswer *defer(const VpciAccess *access)
{
    return !node_is_formed() || (access->attrs && !is_of_vcpu(*access->attrs))
           ? NULL : io_defer();
}

bool distkvm_pci_config(unsigned node, uint8_t devfn, uint64_t generation,
                        VpciAccess *access)
{
    IoAnswer *deferred = defer(access);
    Cycle *cycle;

    if (!node_is_formed() || (!deferred && !may_wait_for(access))) {
        return false;
    }
    cycle = cycle_new(node, devfn, generation, access, deferred);
    if (!ask(cycle, access)) {
        access->data = cycle->data;
        if (deferred) {
            io_complete(deferred, access->addr, cycle->data);
        }
        cycle_free(cycle);
        return true;
    }
    if (deferred) {
        access->data = 0;
        return true;
    }
    bql_unlock();
    qemu_sem_wait(&cycle->done);
    bql_lock();
    apply_answered(NULL);
    /*
     * Here, and not before the vCPU's next block: after a write to ECAM, TCG
     * executes on to the end of this one, where the guest may tell another CPU
     * that a BAR has moved.
     */
    replica_wait();
    access->data = cycle->data;
    cycle_free(cycle);
    return true;
}

int64_t pci_waits_since_ns(CohNodeId *node)
{
    const Cycle *oldest;

    QEMU_LOCK_GUARD(&pci.lock);
    oldest = QTAILQ_FIRST(&pci.asked);
    *node = oldest ? oldest->node : 0;
    return oldest ? oldest->since_ns : 0;
}

/* Engine thread, or that of a loss; under the lock. */
static void take_up(Cycle *cycle)
{
    QTAILQ_REMOVE(&pci.asked, cycle, next);
    QTAILQ_INSERT_TAIL(&pci.answered, cycle, next);
    if (cycle->deferred) {
        service_queue(apply_answered, NULL);
    } else {
        qemu_sem_post(&cycle->done);
    }
}

static const char *changed_serve(const WireFrame *frame)
{
    Cycle *cycle;

    QEMU_LOCK_GUARD(&pci.lock);
    QTAILQ_FOREACH(cycle, &pci.asked, next) {
        if (cycle->number == frame->call && cycle->node == frame->from) {
            break;
        }
    }
    if (!cycle) {
        return pci.failed ? NULL : "an answer nobody asked for";
    }
    /* Until now it has a one for each bit that was asked for. */
    cycle->data &= frame->pci_config.data;
    cycle->answered = true;
    g_byte_array_append(cycle->changes, frame->payload, frame->len);
    take_up(cycle);
    return NULL;
}

MemoryRegion *distkvm_pci_forwarder(unsigned node, bool ports)
{
    return io_forwarder(node, ports ? WIRE_SPACE_PORTS : WIRE_SPACE_MEMORY);
}

void distkvm_pci_reset(unsigned node, uint8_t devfn, uint64_t generation)
{
    WireFrame frame = {
        .type = WIRE_PCI_RESET,
        .pci_line = { .generation = generation, .devfn = devfn },
    };

    /* In a reset of the cluster the owner resets all of its devices itself. */
    if (node_is_formed() && !cluster_reset_is_doing()) {
        engine_post(distkvm->engine, node, &frame);
    }
}

static const char *line_serve(const WireFrame *frame)
{
    const WirePciLine *line = &frame->pci_line;

    return vpci_line(frame->from, line->devfn, line->generation, line->level)
           ? NULL : "an interrupt of a PCI function that it has not";
}

/* Messages of followers. */

bool pci_has_told(CohNodeId node)
{
    return coh_set_has(&complete, node);
}

static void forget(void *node)
{
    coh_set_remove(&complete, GPOINTER_TO_UINT(node));
    vpci_forget(GPOINTER_TO_UINT(node));
}

void pci_left_early(CohNodeId node)
{
    /* In the main loop: behind the messages that it has sent. */
    service_queue_main(forget, GUINT_TO_POINTER(node));
}

const char *pci_fault_in_words(const char *fault)
{
    static char text[128];

    if (!fault) {
        return NULL;
    }
    snprintf(text, sizeof(text), "it sent %s", fault);
    return text;
}

static const char *serve_function(CohNodeId from, const MemberMessage *message)
{
    g_autofree guchar *bytes = NULL;
    gsize len = 0;

    bytes = g_base64_decode(message->u.pci_function.data, &len);
    return pci_fault_in_words(
        vpci_hear_function(from, coh_set_has(&complete, from), bytes, len));
}

static const char *serve_rom(CohNodeId from, const MemberMessage *message)
{
    const MemberPciRom *rom = &message->u.pci_rom;
    g_autofree guchar *bytes = NULL;
    gsize len = 0;

    bytes = g_base64_decode(rom->data, &len);
    return pci_fault_in_words(
        vpci_hear_rom(from, rom->devfn, rom->offset, bytes, len));
}

static void hear_rest(CohNodeId node)
{
    const char *why = pci_fault_in_words(vpci_hear_rest(node));

    if (why) {
        member_expel(node, why);
    }
}

void distkvm_pci_slot_closed(unsigned node, unsigned slot, int64_t ms)
{
    trace_distkvm_pci_slot_closed(node, slot, ms);
}

void distkvm_pci_slot_opened(unsigned node, unsigned slot)
{
    trace_distkvm_pci_slot_opened(node, slot);
    hear_rest(node);
}

/* All nodes have told of theirs. */
static void build(void)
{
    Error *err = NULL;

    if (!vpci_build(distkvm->nodes, &err)) {
        failure_raise(error_get_pretty(err));
        error_free(err);
        return;
    }
    for (CohNodeId n = 1; n < distkvm->nodes; n++) {
        hear_rest(n);
    }
}

static const char *serve_end(CohNodeId from, const MemberMessage *message)
{
    const MemberPciEnd *end = &message->u.pci_end;
    const char *why = coh_set_has(&complete, from)
        ? "it told of its PCI functions twice"
        : pci_fault_in_words(vpci_hear_end(from, end->slots, end->hotplug));

    coh_set_add(&complete, from);
    /*
     * All but this node; members may be fewer, while others are joining.  A node
     * that has told and is lost since would get stand-ins that live.
     */
    if (!why && !qatomic_read(&distkvm->failed) &&
        coh_set_count(&complete) == distkvm->nodes - 1) {
        build();
    }
    return why;
}

/* ------------------------------------------------------------- the owner */

void distkvm_pci_line(uint8_t devfn, uint64_t generation, bool level)
{
    WireFrame frame = {
        .type = WIRE_PCI_LINE,
        .pci_line = {
            .generation = generation, .devfn = devfn, .level = level,
        },
    };

    if (node_is_formed()) {
        irq_post(0, &frame);
    }
}

static const char *reset_serve(const WireFrame *frame)
{
    return vpci_serve_reset(frame->pci_line.devfn, frame->pci_line.generation)
           ? NULL : "a reset of a PCI function that this node has not";
}

static void tell_function(const uint8_t *bytes, size_t len)
{
    g_autofree char *data = g_base64_encode(bytes, len);

    member_send(0, &(MemberMessage) {
        .type = MESSAGE_PCI_FUNCTION, .u.pci_function.data = data,
    });
}

static void tell_rom(uint8_t devfn, uint32_t at, const uint8_t *bytes,
                     size_t len)
{
    g_autofree char *data = g_base64_encode(bytes, len);

    member_send(0, &(MemberMessage) {
        .type = MESSAGE_PCI_ROM,
        .u.pci_rom = { .devfn = devfn, .offset = at, .data = data },
    });
}

static void tell_end(unsigned slots, uint32_t hotplug)
{
    member_send(0, &(MemberMessage) {
        .type = MESSAGE_PCI_END,
        .u.pci_end = { .slots = slots, .hotplug = hotplug },
    });
}

static void tell_unplug(unsigned slot, uint64_t generation, bool pulled)
{
    member_send(0, &(MemberMessage) {
        .type = MESSAGE_PCI_UNPLUG,
        .u.pci_unplug = {
            .slot = slot, .generation = generation, .pulled = pulled,
        },
    });
}

void pci_formed(void)
{
    static const VpciTell tell = {
        tell_function, tell_rom, tell_end, tell_unplug,
    };

    if (!distkvm_is_boot_node()) {
        vpci_describe(&tell);
    }
}

/* ------------------------------------------------------- initialisation */

static void end_cycles(void *unused)
{
    Cycle *cycle, *next;

    QEMU_LOCK_GUARD(&pci.lock);
    pci.failed = true;
    QTAILQ_FOREACH_SAFE(cycle, &pci.asked, next, next) {
        take_up(cycle);
    }
}

static void add_own_devices(void)
{
    static const WireSpace space[] = { WIRE_SPACE_MEMORY, WIRE_SPACE_PORTS };

    for (size_t i = 0; vpci_own_space(false) && i < ARRAY_SIZE(space); i++) {
        memory_region_add_subregion_overlap(
            memmap_own_space(space[i]), 0,
            vpci_own_space(space[i] == WIRE_SPACE_PORTS), 0);
    }
}

void pci_init(void)
{
    static const FrameService changed = {
        "answer to PCI configuration", FRAME_NOW, NULL, changed_serve,
    };
    static const FrameService line = {
        "PCI interrupt line", FRAME_BQL, NULL, line_serve,
    };
    static const FrameService reset = {
        "PCI reset", FRAME_BQL, NULL, reset_serve,
    };
    static const MemberService services[] = {
        { MESSAGE_PCI_FUNCTION, MEMBER_MAIN, serve_function },
        { MESSAGE_PCI_ROM, MEMBER_MAIN, serve_rom },
        { MESSAGE_PCI_END, MEMBER_MAIN, serve_end },
    };

    qemu_mutex_init(&pci.lock);
    QTAILQ_INIT(&pci.asked);
    QTAILQ_INIT(&pci.answered);
    add_own_devices();
    dispatch_register(WIRE_PCI_CHANGED, &changed);
    dispatch_register(WIRE_PCI_LINE, &line);
    dispatch_register(WIRE_PCI_RESET, &reset);
    pci_config_init();
    pci_msi_init();
    member_register(services, ARRAY_SIZE(services));
    failure_register(FAILURE_RELEASE, end_cycles, NULL);
}
