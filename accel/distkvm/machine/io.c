/*
 * distkvm: device accesses between nodes
 *
 * A follower's vCPU that touches a device of another node sends the access
 * there and waits for the answer, with the BQL dropped; any number of vCPUs
 * may do so at once.  The owner performs it under its own BQL and answers
 * when every node has acknowledged the changes of the memory map it caused.
 * Spec: docs/architecture.rst, "Device accesses".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "hw/i386/apic_internal.h"
#include "qemu/rcu.h"
#include "hw/intc/i8259.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "memmap.h"
#include "pic.h"
#include "replica.h"
#include "service.h"
#include "accel/distkvm/trace.h"

#define IO_SIZE_MAX 8
#define IO_PORTS 0x10000
#define IO_NO_CPU UINT32_MAX

/* An access that waits for its answer; lives on the waiting thread's stack. */
typedef struct IoWait {
    uint64_t id;
    int64_t since_ns;
    QemuSemaphore done;
    uint64_t data;
    MemTxResult result;
    QLIST_ENTRY(IoWait) next;
} IoWait;

static struct {
    QemuMutex lock;
    uint64_t last_id;                   /* under lock */
    bool failed;                        /* under lock */
    QLIST_HEAD(, IoWait) waiting;       /* under lock */
    MemoryRegion ports, memory;
} io;

/* ----------------------------------------------------------- requesting */

static bool wait_begin(IoWait *wait)
{
    QEMU_LOCK_GUARD(&io.lock);
    if (io.failed) {
        return false;
    }
    qemu_sem_init(&wait->done, 0);
    wait->id = ++io.last_id;
    wait->since_ns = get_clock();
    QLIST_INSERT_HEAD(&io.waiting, wait, next);
    return true;
}

static void wait_end(IoWait *wait)
{
    /* Never wait for a peer with the BQL held. */
    bool locked = bql_locked();

    if (locked) {
        bql_unlock();
    }
    qemu_sem_wait(&wait->done);
    if (locked) {
        bql_lock();
    }
}

/*
 * A vCPU may drop the BQL here; a device that does DMA into another node's
 * device may not.  qtest accesses memory from the main loop.
 */
static bool may_wait(void)
{
    return current_cpu || distkvm->vmi == DISTKVM_VMI_QTEST;
}

static MemTxResult forward(uint8_t space, hwaddr addr, uint64_t *data,
                           unsigned size, bool write)
{
    uint8_t bytes[IO_SIZE_MAX];
    IoWait wait = { .result = MEMTX_ERROR, .data = UINT64_MAX };
    WireFrame frame = {
        .type = WIRE_IO,
        .sub = space | (write ? WIRE_IO_WRITE : 0),
        .addr = addr,
        .arg = current_cpu ? current_cpu->cpu_index : IO_NO_CPU,
        .len = sizeof(bytes),
        .payload = bytes,
        .acks = size,
    };

    if (!may_wait() || !node_is_formed() || !wait_begin(&wait)) {
        *data = write ? *data : UINT64_MAX;
        return MEMTX_ERROR;
    }
    stq_le_p(bytes, write ? *data : 0);
    frame.id = wait.id;
    trace_distkvm_io_send(addr, size, write, space);
    engine_post(distkvm->engine, 0, &frame);
    wait_end(&wait);
    qemu_sem_destroy(&wait.done);
    if (!write) {
        *data = wait.data;
    }
    return wait.result;
}

bool io_acknowledge(uint64_t *answer)
{
    return forward(WIRE_IO_ACK, 0, answer, IO_SIZE_MAX, false) == MEMTX_OK;
}

static MemTxResult memory_read(void *opaque, hwaddr addr, uint64_t *data,
                               unsigned size, MemTxAttrs attrs)
{
    return forward(0, addr, data, size, false);
}

static MemTxResult memory_write(void *opaque, hwaddr addr, uint64_t data,
                                unsigned size, MemTxAttrs attrs)
{
    return forward(0, addr, &data, size, true);
}

static MemTxResult port_read(void *opaque, hwaddr addr, uint64_t *data,
                             unsigned size, MemTxAttrs attrs)
{
    return forward(WIRE_IO_PORT, addr, data, size, false);
}

static MemTxResult port_write(void *opaque, hwaddr addr, uint64_t data,
                              unsigned size, MemTxAttrs attrs)
{
    return forward(WIRE_IO_PORT, addr, &data, size, true);
}

/* Accesses go out whole: the owner splits them as the device wants. */
#define ANY_SIZE \
    { .min_access_size = 1, .max_access_size = 8, .unaligned = true }

static const MemoryRegionOps memory_ops = {
    .read_with_attrs = memory_read,
    .write_with_attrs = memory_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = ANY_SIZE,
    .impl = ANY_SIZE,
};

static const MemoryRegionOps port_ops = {
    .read_with_attrs = port_read,
    .write_with_attrs = port_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = ANY_SIZE,
    .impl = ANY_SIZE,
};

/* -------------------------------------------------------------- serving */

typedef struct IoRequest {
    WireFrame frame;
    uint8_t bytes[IO_SIZE_MAX];
} IoRequest;

static void answer(void *opaque)
{
    g_autofree IoRequest *req = opaque;

    req->frame.payload = req->bytes;
    engine_post(distkvm->engine, req->frame.from, &req->frame);
}

/* Chipsets change what answers here; elsewhere, RAM stays RAM. */
#define LEGACY_FIRST 0xa0000
#define LEGACY_LAST 0xfffff
#define APIC_FIRST APIC_DEFAULT_ADDRESS
#define APIC_LAST (APIC_DEFAULT_ADDRESS + APIC_SPACE_SIZE - 1)

/*
 * No follower forwards an access to RAM, which it has itself, or to a local
 * APIC; but one that it sent before the chipset made RAM of an address may
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

static void serve_in_service(void *opaque)
{
    IoRequest *req = opaque;
    bool write = req->frame.sub & WIRE_IO_WRITE;
    AddressSpace *as = req->frame.sub & WIRE_IO_PORT ? &address_space_io
                                                     : &address_space_memory;
    CPUState *saved = current_cpu;
    MemTxResult result = MEMTX_OK;

    bool to_ram = !(req->frame.sub & (WIRE_IO_PORT | WIRE_IO_ACK)) &&
                  !is_for_device(req->frame.addr, req->frame.acks);

    if (to_ram && replica_has_settled(req->frame.from)) {
        member_expel(req->frame.from, "it sent a device access to RAM or a"
                     " local APIC");
        g_free(req);
        return;
    }
    trace_distkvm_io_serve(req->frame.from, req->frame.addr, req->frame.acks,
                           write);
    /* Some devices ask who accesses them. */
    current_cpu = qemu_get_cpu(req->frame.arg) ?: first_cpu;
    if (req->frame.sub & WIRE_IO_ACK) {
        stq_le_p(req->bytes, pic_serve_acknowledge());
    } else if (to_ram) {
        /* It had no map when it asked, and took all for devices. */
        result = MEMTX_DECODE_ERROR;
    } else {
        result = address_space_rw(as, req->frame.addr, MEMTXATTRS_UNSPECIFIED,
                                  req->bytes, req->frame.acks, write);
    }
    current_cpu = saved;

    req->frame.type = WIRE_IO_REPLY;
    req->frame.arg = result;
    replica_then(replica_last(), answer, req);
}

static void io_request(const WireFrame *frame)
{
    IoRequest *req;

    bool named = frame->arg != IO_NO_CPU;
    bool ack = frame->sub & WIRE_IO_ACK;

    /* Lengths and roles are wire/rules.c's. */
    if (frame->acks < 1 || frame->acks > IO_SIZE_MAX ||
        (frame->sub & WIRE_IO_PORT && frame->addr > IO_PORTS - frame->acks) ||
        (ack && (frame->sub != WIRE_IO_ACK || !isa_pic)) ||
        (named && distkvm_cpu_node(frame->arg) !=
                  frame->from)) {
        member_expel(frame->from, "it sent a malformed device access");
        return;
    }
    req = g_new(IoRequest, 1);
    req->frame = *frame;
    memcpy(req->bytes, frame->payload, IO_SIZE_MAX);
    service_queue(serve_in_service, req);
}

static void io_reply(const WireFrame *frame)
{
    IoWait *wait;

    QEMU_LOCK_GUARD(&io.lock);
    QLIST_FOREACH(wait, &io.waiting, next) {
        if (wait->id == frame->id) {
            break;
        }
    }
    if (wait) {
        QLIST_REMOVE(wait, next);
        wait->data = ldq_le_p(frame->payload);
        wait->result = frame->arg;
        qemu_sem_post(&wait->done);
    } else if (!io.failed) {
        member_expel(frame->from, "it sent an answer nobody asked for");
    }
}

void io_frame(const WireFrame *frame)
{
    if (frame->type == WIRE_IO) {
        io_request(frame);
    } else {
        io_reply(frame);
    }
}

int64_t io_waits_since_ns(void)
{
    int64_t since = 0;
    IoWait *wait;

    QEMU_LOCK_GUARD(&io.lock);
    QLIST_FOREACH(wait, &io.waiting, next) {
        /* The newest is first. */
        since = wait->since_ns;
    }
    return since;
}

/* Wake every thread that waits for an answer: none will come. */
static void io_fail(void *unused)
{
    IoWait *wait, *next;

    QEMU_LOCK_GUARD(&io.lock);
    io.failed = true;
    QLIST_FOREACH_SAFE(wait, &io.waiting, next, next) {
        QLIST_REMOVE(wait, next);
        qemu_sem_post(&wait->done);
    }
}

/* A follower's own chipset stays in place, out of reach. */
void io_init(void)
{
    qemu_mutex_init(&io.lock);
    QLIST_INIT(&io.waiting);
    failure_register(FAILURE_RELEASE, io_fail, NULL);
    if (distkvm_is_boot_node()) {
        return;
    }
    memory_region_init_io(&io.ports, NULL, &port_ops, NULL,
                          "distkvm-ports", IO_PORTS);
    io.ports.disable_reentrancy_guard = true;
    memory_region_add_subregion_overlap(get_system_io(), 0, &io.ports,
                                        INT32_MAX);
    memory_region_init_io(&io.memory, NULL, &memory_ops, NULL,
                          "distkvm-devices", UINT64_MAX);
    io.memory.disable_reentrancy_guard = true;
    memmap_add_devices(&io.memory);
}
