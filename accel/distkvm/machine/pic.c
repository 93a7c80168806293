/*
 * distkvm: the 8259's one output line
 *
 * The interrupt controller of the PC's first days sits on node 0.  Any vCPU
 * may listen to it (LINT0 as ExtINT), so followers keep a copy of its output, and
 * whoever takes the interrupt asks node 0 for the vector.  Changes are
 * numbered: the answer to an acknowledge may overtake the change it caused.
 * Spec: docs/architecture.rst, "Interrupts".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "hw/i386/apic.h"
#include "hw/i386/apic_internal.h"
#include "hw/intc/i8259.h"
#include "system/distkvm.h"
#include "accel/distkvm/node.h"
#include "io.h"
#include "pic.h"
#include "accel/distkvm/trace.h"

/* The answer to an acknowledge: vector, level and number of the change. */
#define ACK_VECTOR(answer)  ((answer) & 0xff)
#define ACK_LEVEL(answer)   (((answer) >> 8) & 1)
#define ACK_SEQ(answer)     ((uint32_t)((answer) >> 32))

/* Under the BQL. */
static struct {
    uint32_t seq;       /* changes of the output so far                     */
    bool level;         /* on followers: as node 0 has told                 */
} pic;

/* ---------------------------------------------------------------- node 0 */

bool distkvm_pic_changed(int level)
{
    WireFrame frame = { .type = WIRE_IRQ, .sub = WIRE_IRQ_PIC, .arg = level };
    CohNodeSet followers;
    CohNodeId n;

    if (!distkvm) {
        return false;
    }
    if (!distkvm_is_boot_node()) {
        /* Its own ticks from reset; only node 0's chipset may be heard. */
        return true;
    }
    if (node_is_formed() && pic.level != level) {
        frame.addr = ++pic.seq;
        followers = distkvm_members();
        coh_set_remove(&followers, distkvm->id);
        COH_SET_FOREACH(n, &followers) {
            engine_post(distkvm->engine, n, &frame);
        }
    }
    pic.level = level;
    return false;
}

uint64_t pic_serve_acknowledge(void)
{
    uint64_t vector = pic_read_irq(isa_pic);

    return vector | (uint64_t)pic.level << 8 | (uint64_t)pic.seq << 32;
}

/* ------------------------------------------------------------- followers */

static void output_is(uint32_t seq, bool level)
{
    CPUState *cpu;

    pic.seq = seq;
    pic.level = level;
    CPU_FOREACH(cpu) {
        DeviceState *apic = X86_CPU(cpu)->apic_state;

        if (distkvm_cpu_is_local(cpu) && apic && apic_accept_pic_intr(apic)) {
            apic_deliver_pic_intr(apic, level);
        }
    }
}

void pic_frame_in_service(const WireFrame *frame)
{
    if (frame->from == 0 && (int32_t)(frame->addr - pic.seq) > 0) {
        output_is(frame->addr, frame->arg & 1);
    }
}

bool distkvm_pic_output(int *level)
{
    if (!distkvm || distkvm_is_boot_node()) {
        return false;
    }
    *level = pic.level;
    return true;
}

bool distkvm_pic_acknowledge(int *vector)
{
    uint64_t answer;

    if (!distkvm || distkvm_is_boot_node()) {
        return false;
    }
    if (!io_acknowledge(&answer)) {
        /* A node is lost, and the guest stops here. */
        *vector = APIC_COMMON(X86_CPU(current_cpu)->apic_state)->spurious_vec &
                  0xff;
        return true;
    }
    *vector = ACK_VECTOR(answer);
    /* No change since: still high means that another one waits. */
    if ((int32_t)(ACK_SEQ(answer) - pic.seq) >= 0) {
        output_is(ACK_SEQ(answer), ACK_LEVEL(answer));
    }
    return true;
}
