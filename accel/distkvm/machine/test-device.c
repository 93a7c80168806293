/*
 * distkvm: a device of each node, for tests
 *
 * A few registers of 8 bytes, at addresses that need no firmware.  One of them
 * does DMA within the write to it, as e1000 does; another one delays frames of
 * interrupts.  Spec: docs/testing.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "irq.h"
#include "memmap-apply.h"
#include "test-device.h"

#define ADDR 0xfe800000u
#define BYTES 0x1000u
#define PORT 0x700u
#define PORTS 8u

enum {
    REG_SCRATCH,        /* holds what was written                           */
    REG_DMA,            /* written: the address of 8 bytes to fetch         */
    REG_FETCHED,        /* the bytes                                        */
    REG_RESULT,         /* of that DMA, a MemTxResult                       */
    REG_NODE,           /* the device's node                                */
    REG_SERVED,         /* accesses to the device so far                    */
    /* Lower half: ms by which interrupts to the node in the upper half wait. */
    REG_DELAY,
    REGS
};

/* A frame of an interrupt that is late. */
typedef struct Late {
    CohNodeId to;
    int64_t due_ms;
    WireFrame frame;
} Late;

/* BQL. */
static struct {
    MemoryRegion memory, ports;
    uint64_t reg[REGS];
    uint32_t delay_ms[COH_NODES_MAX];
    GQueue late[COH_NODES_MAX];     /* Late, the oldest first               */
    QEMUTimer *timer;
} device;

/* ------------------------------------------------------ late interrupts */

static void send_due(void *unused)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME), next = INT64_MAX;

    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        Late *late;

        while ((late = g_queue_peek_head(&device.late[n])) &&
               late->due_ms <= now) {
            g_queue_pop_head(&device.late[n]);
            engine_post(distkvm->engine, n, &late->frame);
            g_free(late);
        }
        next = late ? MIN(next, late->due_ms) : next;
    }
    if (next != INT64_MAX) {
        timer_mod(device.timer, next);
    }
}

static void post(CohNodeId to, const WireFrame *frame)
{
    Late *late;

    if (!device.delay_ms[to] && g_queue_is_empty(&device.late[to])) {
        engine_post(distkvm->engine, to, frame);
        return;
    }
    late = g_new(Late, 1);
    late->to = to;
    late->due_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                   device.delay_ms[to];
    late->frame = *frame;
    g_queue_push_tail(&device.late[to], late);
    send_due(NULL);
}

/* ------------------------------------------------------------ registers */

static uint64_t reg_read(void *opaque, hwaddr addr, unsigned size)
{
    unsigned n = addr / 8;

    device.reg[REG_SERVED]++;
    return n < REGS ? device.reg[n] : 0;
}

static void reg_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    device.reg[REG_SERVED]++;
    switch (addr / 8) {
    case REG_SCRATCH:
        device.reg[REG_SCRATCH] = value;
        break;
    case REG_DMA:
        device.reg[REG_RESULT] =
            address_space_read(&address_space_memory, value,
                               MEMTXATTRS_UNSPECIFIED, bytes, sizeof(bytes));
        device.reg[REG_FETCHED] = ldq_le_p(bytes);
        break;
    case REG_DELAY:
        if (value >> 32 < distkvm->nodes) {
            device.delay_ms[value >> 32] = value;
        }
        break;
    }
}

static const MemoryRegionOps ops = {
    .read = reg_read,
    .write = reg_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

/* The other nodes' devices, in node 0's map. */
static void add_others(void)
{
    for (CohNodeId n = 1; n < distkvm->nodes; n++) {
        MemoryRegion *memory = g_new0(MemoryRegion, 1);
        MemoryRegion *ports = g_new0(MemoryRegion, 1);

        memory_region_init_alias(memory, NULL, "distkvm-test-device",
                                 io_forwarder(n, WIRE_SPACE_MEMORY),
                                 ADDR + n * BYTES, BYTES);
        memory_region_add_subregion(get_system_memory(), ADDR + n * BYTES,
                                    memory);
        memory_region_init_alias(ports, NULL, "distkvm-test-device",
                                 io_forwarder(n, WIRE_SPACE_PORTS),
                                 PORT + n * PORTS, PORTS);
        memory_region_add_subregion(get_system_io(), PORT + n * PORTS, ports);
    }
}

void test_device_init(void)
{
    CohNodeId self = distkvm->id;

    device.reg[REG_NODE] = self;
    memory_region_init_io(&device.memory, NULL, &ops, NULL,
                          "distkvm-test-device", BYTES);
    memory_region_init_io(&device.ports, NULL, &ops, NULL,
                          "distkvm-test-device", PORTS);
    memory_region_add_subregion(memmap_own_space(WIRE_SPACE_MEMORY),
                                ADDR + self * BYTES, &device.memory);
    memory_region_add_subregion(memmap_own_space(WIRE_SPACE_PORTS),
                                PORT + self * PORTS, &device.ports);
    device.timer = timer_new_ms(QEMU_CLOCK_REALTIME, send_due, NULL);
    irq_set_test_post(post);
    if (distkvm_is_boot_node()) {
        add_others();
    }
}
