/*
 * distkvm: device accesses of other nodes, served
 *
 * The device's node performs the access under its own BQL, by the address, and
 * answers when every node has acknowledged the changes of the memory map that
 * the access caused.  Spec: docs/architecture.rst, "Device accesses".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "hw/i386/apic_internal.h"
#include "hw/pci/pci_host.h"
#include "qemu/bswap.h"
#include "qemu/rcu.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "io-serve.h"
#include "irq-fence.h"
#include "msi-fence.h"
#include "replica.h"
#include "rpc.h"
#include "accel/distkvm/trace.h"

/*
 * An answer that waits for the changes that its access caused, and for
 * interrupts that it must not overtake.
 */
struct IoAnswer {
    WireFrame request;
    WireFrame frame;
    bool pushes;                /* interrupts of before                     */
    unsigned deferred;          /* parts that another node performs         */
    CohNodeSet interrupted;     /* before it, by the device                 */
};

/* The access that is served just now.  BQL. */
static IoAnswer *serving;

static void send_answer(void *opaque)
{
    g_autofree IoAnswer *answer = opaque;

    rpc_answer(&answer->request, &answer->frame);
}

/* The interrupts have been served. */
static void wait_for_changes(void *opaque)
{
    replica_then(replica_last(), send_answer, opaque);
}

/*
 * Interrupts to other nodes have been served when an access is answered that
 * pushes them; those to the requester are counted, and the requester waits for
 * them itself.
 */
static void answer_later(IoAnswer *answer)
{
    CohNodeId to = answer->request.from;

    if (answer->deferred) {
        return;
    }
    if (!answer->pushes) {
        wait_for_changes(answer);
        return;
    }
    answer->frame.io_reply.irqs = fence_count_sent(irq_fence(), to);
    coh_set_remove(&answer->interrupted, to);
    fence_then(irq_fence(), &answer->interrupted, wait_for_changes, answer);
}

/* Interrupts that were held when the access came. */
static void held_have_left(void *opaque, const FenceVector *v)
{
    IoAnswer *answer = opaque;
    CohNodeId n;

    COH_SET_FOREACH(n, &v->to) {
        coh_set_add(&answer->interrupted, n);
    }
    answer->deferred--;
    answer_later(answer);
}

IoAnswer *io_defer(void)
{
    if (serving) {
        serving->deferred++;
    }
    return serving;
}

void io_complete(IoAnswer *answer, unsigned addr, uint32_t data)
{
    const WireIo *io = &answer->request.io;
    unsigned mask = io->space == WIRE_SPACE_PORTS ? 3 : 7;

    answer->frame.io_reply.data |=
        (uint64_t)data << (((addr - io->addr) & mask) * 8);
    answer->deferred--;
    answer_later(answer);
}

/* Chipsets change which device answers here; elsewhere, RAM stays RAM. */
#define LEGACY_FIRST 0xa0000
#define LEGACY_LAST 0xfffff
#define APIC_FIRST APIC_DEFAULT_ADDRESS
#define APIC_LAST (APIC_DEFAULT_ADDRESS + APIC_SPACE_SIZE - 1)

static AddressSpace *space_of(const WireIo *io)
{
    return io->space == WIRE_SPACE_PORTS ? &address_space_io
                                         : &address_space_memory;
}

/*
 * The region that @io begins in.  BQL held: the region stays, and so does the
 * device.
 */
static MemoryRegion *region_of(const WireIo *io)
{
    hwaddr in, len = io->size;

    RCU_READ_LOCK_GUARD();
    return address_space_translate(space_of(io), io->addr, &in, &len, true,
                                   MEMTXATTRS_UNSPECIFIED);
}

/*
 * No node forwards an access to RAM, which it has itself, or to a local
 * APIC.  An access that left before the chipset made RAM of its address may
 * arrive after.
 */
static bool is_for_device(const WireIo *io, const MemoryRegion *mr)
{
    if (io->space != WIRE_SPACE_MEMORY) {
        return true;
    }
    if (io->addr + io->size < io->addr ||
        (io->addr <= APIC_LAST && io->addr + io->size > APIC_FIRST)) {
        return false;
    }
    return (io->addr >= LEGACY_FIRST &&
            io->addr + io->size - 1 <= LEGACY_LAST) ||
           !memory_region_is_ram((MemoryRegion *)mr) ||
           !distkvm_ram_is_coherent(mr);
}

/* The peer's vCPU makes it, and a device that does DMA within it does not. */
static const MemTxAttrs of_vcpu;

static MemTxResult perform(const WireIo *io, bool write, uint64_t *data)
{
    CPUState *saved = current_cpu;
    uint8_t bytes[WIRE_IO_BYTES_MAX];
    MemTxResult result;

    stq_le_p(bytes, io->data);
    /* Some devices ask for the CPU that accesses them. */
    current_cpu = qemu_get_cpu(io->cpu) ?: first_cpu;
    result = address_space_rw(space_of(io), io->addr, of_vcpu, bytes, io->size,
                              write);
    current_cpu = saved;
    *data = ldq_le_p(bytes);
    return result;
}

/*
 * Does @node know which addresses are RAM?  One without a map asks node 0
 * at any address; other nodes are asked for their devices in the map.
 */
static bool knows_ram(CohNodeId node)
{
    return !distkvm_is_boot_node() || replica_has_settled(node);
}

/* Where ports choose a register of configuration space. */
#define PORT_PCI_ADDRESS 0xcf8

/* A write to configuration space is not posted: it ends by an answer. */
static bool is_configuration(const WireIo *io, Object *device)
{
    return device && object_dynamic_cast(device, TYPE_PCI_HOST_BRIDGE) &&
           (io->space != WIRE_SPACE_PORTS || io->addr != PORT_PCI_ADDRESS);
}

static const char *io_serve(const WireFrame *frame)
{
    const WireIo *io = &frame->io;
    bool write = frame->sub == WIRE_IO_WRITE;
    MemoryRegion *mr = region_of(io);
    Object *device = memory_region_owner(mr);
    bool to_ram = !is_for_device(io, mr);
    uint64_t data = 0;
    IoAnswer *answer;

    if (to_ram && knows_ram(frame->from)) {
        return "a device access to RAM or a local APIC";
    }
    trace_distkvm_io_serve(frame->from, io->addr, io->size, write);
    answer = g_new0(IoAnswer, 1);
    answer->request = *frame;
    /* This function's own share, so that no part ends it meanwhile. */
    answer->deferred = 1;
    answer->pushes = !write || is_configuration(io, device);
    if (answer->pushes) {
        answer->deferred += msi_fence_push(device, &answer->interrupted,
                                           held_have_left, answer);
    }
    answer->frame.type = WIRE_IO_REPLY;
    if (to_ram) {
        /* It had no map when it asked, and took all addresses for devices. */
        answer->frame.io_reply.result = MEMTX_DECODE_ERROR;
    } else {
        serving = answer;
        answer->frame.io_reply.result = perform(io, write, &data);
        serving = NULL;
        answer->frame.io_reply.data |= data;
    }
    answer->deferred--;
    answer_later(answer);
    return NULL;
}

static const char *io_check(const WireFrame *frame)
{
    const WireIo *io = &frame->io;

    if ((io->space == WIRE_SPACE_PORTS &&
         io->addr > IO_PORTS - io->size) ||
        (io->cpu != WIRE_IO_NO_CPU &&
         distkvm_cpu_node(io->cpu) != frame->from)) {
        return "a malformed device access";
    }
    return NULL;
}

static const FrameService io_service = {
    .name = "device access", .context = FRAME_BQL,
    .check = io_check, .serve = io_serve,
};

void io_serve_init(void)
{
    dispatch_register(WIRE_IO, &io_service);
}
