/*
 * distkvm: the 8259's one output line
 *
 * The interrupt controller of the first PCs sits on node 0.  Any vCPU may
 * listen to it (LINT0 as ExtINT), so followers keep a copy of its output, and
 * a vCPU that takes the interrupt asks node 0 for the vector.  Changes are
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
#include "pic.h"
#include "rpc.h"

/* Under the BQL. */
static struct {
    uint32_t seq;       /* changes of the output so far                     */
    bool level;         /* on followers: as node 0 has told                 */
} pic;

/* ---------------------------------------------------------------- node 0 */

bool distkvm_pic_changed(int level)
{
    WireFrame frame = { .type = WIRE_PIC, .pic = { .level = level } };
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
        frame.pic.seq = ++pic.seq;
        followers = distkvm_members();
        coh_set_remove(&followers, distkvm->id);
        COH_SET_FOREACH(n, &followers) {
            engine_post(distkvm->engine, n, &frame);
        }
    }
    pic.level = level;
    return false;
}

static const char *ack_check(const WireFrame *frame)
{
    return isa_pic ? NULL : "an acknowledge of an 8259 that there is not";
}

static const char *ack_serve(const WireFrame *frame)
{
    WireFrame answer = { .type = WIRE_PIC_VECTOR };

    answer.pic_vector.vector = pic_read_irq(isa_pic);
    answer.pic_vector.level = pic.level;
    answer.pic_vector.seq = pic.seq;
    rpc_answer(frame, &answer);
    return NULL;
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

static const char *output_serve(const WireFrame *frame)
{
    if ((int32_t)(frame->pic.seq - pic.seq) > 0) {
        output_is(frame->pic.seq, frame->pic.level);
    }
    return NULL;
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
    WireFrame answer, request = { .type = WIRE_PIC_ACK };

    if (!distkvm || distkvm_is_boot_node()) {
        return false;
    }
    if (!rpc_call(0, &request, WIRE_PIC_VECTOR, &answer)) {
        /* A node is lost, and the guest stops here. */
        *vector = APIC_COMMON(X86_CPU(current_cpu)->apic_state)->spurious_vec &
                  0xff;
        return true;
    }
    *vector = answer.pic_vector.vector;
    /* No change since: still high means that another one waits. */
    if ((int32_t)(answer.pic_vector.seq - pic.seq) >= 0) {
        output_is(answer.pic_vector.seq, answer.pic_vector.level);
    }
    return true;
}

static const FrameService output_service = {
    .name = "8259's output", .context = FRAME_BQL, .serve = output_serve,
};

static const FrameService ack_service = {
    .name = "8259's acknowledge", .context = FRAME_BQL,
    .check = ack_check, .serve = ack_serve,
};

void pic_init(void)
{
    dispatch_register(WIRE_PIC, &output_service);
    dispatch_register(WIRE_PIC_ACK, &ack_service);
    rpc_register_answer(WIRE_PIC_VECTOR);
}
