/*
 * distkvm: device accesses between nodes, requested
 *
 * A vCPU that touches a device of another node calls that node and waits for
 * its answer (rpc.c; io-serve.c gives it).  For each peer there is a region
 * that covers a whole address space; the memory map shows parts of it where
 * that peer has its devices.  Spec: docs/architecture.rst, "Device accesses".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "irq-fence.h"
#include "may-wait.h"
#include "rpc.h"
#include "accel/distkvm/trace.h"

/* All devices of a peer in one address space; offsets are addresses. */
typedef struct Forwarder {
    MemoryRegion mr;
    CohNodeId node;
    WireSpace space;
} Forwarder;

/* Made when they are needed first.  BQL. */
static Forwarder *forwarders[COH_NODES_MAX][WIRE_SPACE__MAX];

static MemTxResult forward(const Forwarder *f, hwaddr addr, uint64_t *data,
                           unsigned size, bool write, MemTxAttrs attrs)
{
    WireFrame answer, request = {
        .type = WIRE_IO,
        .sub = write ? WIRE_IO_WRITE : WIRE_IO_READ,
        .io = {
            .addr = addr,
            .data = write ? *data : 0,
            .cpu = current_cpu ? current_cpu->cpu_index : WIRE_IO_NO_CPU,
            .space = f->space,
            .size = size,
        },
    };

    if (may_wait(attrs)) {
        trace_distkvm_io_send(f->node, addr, size, write, f->space);
        if (rpc_call(f->node, &request, WIRE_IO_REPLY, &answer)) {
            *data = write ? *data : answer.io_reply.data;
            irq_fence_wait(f->node, answer.io_reply.irqs);
            return answer.io_reply.result;
        }
    }
    *data = write ? *data : UINT64_MAX;
    return MEMTX_ERROR;
}

static MemTxResult forward_read(void *opaque, hwaddr addr, uint64_t *data,
                                unsigned size, MemTxAttrs attrs)
{
    return forward(opaque, addr, data, size, false, attrs);
}

static MemTxResult forward_write(void *opaque, hwaddr addr, uint64_t data,
                                 unsigned size, MemTxAttrs attrs)
{
    return forward(opaque, addr, &data, size, true, attrs);
}

/* Accesses go out whole: the owner splits them as the device wants. */
#define ANY_SIZE \
    { .min_access_size = 1, .max_access_size = 8, .unaligned = true }

static const MemoryRegionOps forward_ops = {
    .read_with_attrs = forward_read,
    .write_with_attrs = forward_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = ANY_SIZE,
    .impl = ANY_SIZE,
};

MemoryRegion *io_forwarder(CohNodeId node, WireSpace space)
{
    static const char *const names[] = {
        [WIRE_SPACE_MEMORY] = "memory", [WIRE_SPACE_PORTS] = "ports",
    };
    Forwarder *f = forwarders[node][space];

    if (!f) {
        g_autofree char *name = g_strdup_printf("distkvm-node%u-%s", node,
                                                names[space]);

        f = g_new0(Forwarder, 1);
        f->node = node;
        f->space = space;
        memory_region_init_io(&f->mr, NULL, &forward_ops, f, name,
                              io_space_bytes(space));
        f->mr.disable_reentrancy_guard = true;
        forwarders[node][space] = f;
    }
    return &f->mr;
}

CohNodeId io_owner(const MemoryRegion *mr)
{
    return mr->ops == &forward_ops ? ((const Forwarder *)mr->opaque)->node
                                   : distkvm->id;
}

void io_init(void)
{
    rpc_register_answer(WIRE_IO_REPLY);
}
