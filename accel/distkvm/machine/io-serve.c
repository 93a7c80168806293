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
#include "qemu/bswap.h"
#include "qemu/rcu.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "replica.h"
#include "rpc.h"
#include "accel/distkvm/trace.h"

/* An answer that waits for the changes that its access caused. */
typedef struct IoAnswer {
    WireFrame request;
    WireFrame frame;
} IoAnswer;

static void send_answer(void *opaque)
{
    g_autofree IoAnswer *answer = opaque;

    rpc_answer(&answer->request, &answer->frame);
}

/* Chipsets change which device answers here; elsewhere, RAM stays RAM. */
#define LEGACY_FIRST 0xa0000
#define LEGACY_LAST 0xfffff
#define APIC_FIRST APIC_DEFAULT_ADDRESS
#define APIC_LAST (APIC_DEFAULT_ADDRESS + APIC_SPACE_SIZE - 1)

/*
 * No node forwards an access to RAM, which it has itself, or to a local
 * APIC.  An access that left before the chipset made RAM of its address may
 * arrive after.  BQL held.
 */
static bool is_for_device(hwaddr addr, unsigned size)
{
    hwaddr in, len = size;
    MemoryRegion *mr;

    if (addr + size < addr ||
        (addr <= APIC_LAST && addr + size > APIC_FIRST)) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, addr, &in, &len, true,
                                 MEMTXATTRS_UNSPECIFIED);
    return (addr >= LEGACY_FIRST && addr + size - 1 <= LEGACY_LAST) ||
           !memory_region_is_ram(mr) || !distkvm_ram_is_coherent(mr);
}

static MemTxResult perform(const WireIo *io, bool write, uint64_t *data)
{
    AddressSpace *as = io->space == WIRE_SPACE_PORTS ? &address_space_io
                                                     : &address_space_memory;
    CPUState *saved = current_cpu;
    uint8_t bytes[WIRE_IO_BYTES_MAX];
    MemTxResult result;

    stq_le_p(bytes, io->data);
    /* Some devices ask for the CPU that accesses them. */
    current_cpu = qemu_get_cpu(io->cpu) ?: first_cpu;
    result = address_space_rw(as, io->addr, MEMTXATTRS_UNSPECIFIED, bytes,
                              io->size, write);
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

static const char *io_serve(const WireFrame *frame)
{
    const WireIo *io = &frame->io;
    bool write = frame->sub == WIRE_IO_WRITE;
    bool to_ram = io->space == WIRE_SPACE_MEMORY &&
                  !is_for_device(io->addr, io->size);
    IoAnswer *answer;

    if (to_ram && knows_ram(frame->from)) {
        return "a device access to RAM or a local APIC";
    }
    trace_distkvm_io_serve(frame->from, io->addr, io->size, write);
    answer = g_new0(IoAnswer, 1);
    answer->request = *frame;
    answer->frame.type = WIRE_IO_REPLY;
    if (to_ram) {
        /* It had no map when it asked, and took all addresses for devices. */
        answer->frame.io_reply.result = MEMTX_DECODE_ERROR;
    } else {
        answer->frame.io_reply.result =
            perform(io, write, &answer->frame.io_reply.data);
    }
    replica_then(replica_last(), send_answer, answer);
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
