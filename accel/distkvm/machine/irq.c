/*
 * distkvm: interrupts between nodes
 *
 * Every node holds all local APICs, so destinations are matched where an
 * interrupt arises; one for a vCPU elsewhere leaves as a frame, under the
 * BQL and without waiting.  At the receiver it is as if the interrupt had
 * arisen there.  Spec: docs/architecture.rst, "Interrupts".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "hw/i386/apic.h"
#include "hw/i386/apic_internal.h"
#include "hw/intc/ioapic.h"
#include "qemu/main-loop.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/dispatch.h"
#include "irq.h"
#include "irq-fence.h"
#include "accel/distkvm/trace.h"

static void (*local_handler)(CPUState *cpu, int mask);

void irq_set_local_handler(void (*handler)(CPUState *cpu, int mask))
{
    local_handler = handler;
}

static void post_now(CohNodeId to, const WireFrame *frame)
{
    engine_post(distkvm->engine, to, frame);
}

static void (*post)(CohNodeId to, const WireFrame *frame) = post_now;

void irq_set_test_post(void (*test)(CohNodeId to, const WireFrame *frame))
{
    post = test;
}

void irq_post(CohNodeId to, const WireFrame *frame)
{
    post(to, frame);
}

static void irq_send(CPUState *cpu, WireIrqKind kind, uint8_t vector,
                     bool level)
{
    WireFrame frame = {
        .type = WIRE_IRQ,
        .sub = kind,
        .epoch = distkvm->irq_epoch,
        .irq = { .cpu = cpu->cpu_index, .vector = vector, .level = level },
    };

    trace_distkvm_irq_send(cpu->cpu_index, kind, vector);
    irq_fence_sent(distkvm_cpu_node(cpu->cpu_index));
    irq_post(distkvm_cpu_node(cpu->cpu_index), &frame);
}

/* Empty the stand-in's request register: each vector becomes a frame. */
static void send_vectors(CPUState *cpu, APICCommonState *apic)
{
    for (int i = 0; i < ARRAY_SIZE(apic->irr); i++) {
        while (apic->irr[i]) {
            int vector = i * 32 + ctz32(apic->irr[i]);

            irq_send(cpu, WIRE_IRQ_FIXED, vector,
                     apic_get_bit(apic->tmr, vector));
            apic->irr[i] &= apic->irr[i] - 1;
        }
    }
}

void irq_handle_interrupt(CPUState *cpu, int mask)
{
    APICCommonState *apic;

    if (distkvm_cpu_is_local(cpu)) {
        local_handler(cpu, mask);
        return;
    }
    if (!node_is_formed()) {
        return;
    }
    apic = APIC_COMMON(X86_CPU(cpu)->apic_state);
    /* HARD by itself: the 8259 tells other nodes on its own, pic.c. */
    send_vectors(cpu, apic);
    if (mask & CPU_INTERRUPT_INIT) {
        irq_send(cpu, WIRE_IRQ_INIT, 0, false);
    }
    if (mask & CPU_INTERRUPT_SIPI) {
        irq_send(cpu, WIRE_IRQ_SIPI, apic->sipi_vector, false);
    }
    if (mask & CPU_INTERRUPT_NMI) {
        irq_send(cpu, WIRE_IRQ_NMI, 0, false);
    }
    if (mask & CPU_INTERRUPT_MCE) {
        irq_send(cpu, WIRE_IRQ_MCE, 0, false);
    }
}

bool distkvm_ioapic_eoi(int vector)
{
    WireFrame frame = { .type = WIRE_EOI, .eoi = { .vector = vector } };

    if (!distkvm || distkvm_is_boot_node() || !node_is_formed()) {
        return false;
    }
    frame.epoch = qatomic_read(&distkvm->epoch);
    engine_post(distkvm->engine, 0, &frame);
    return true;
}

/* ------------------------------------------------------------ receiving */

bool irq_is_stale(const WireFrame *frame)
{
    return frame->epoch != qatomic_read(&distkvm->epoch);
}

static void deliver(WireIrqKind kind, const WireIrq *irq)
{
    CPUState *cpu = qemu_get_cpu(irq->cpu);
    APICCommonState *apic;

    if (!cpu || !distkvm_cpu_is_local(cpu)) {
        return;
    }
    apic = APIC_COMMON(X86_CPU(cpu)->apic_state);
    switch (kind) {
    case WIRE_IRQ_FIXED:
        apic_set_irq(apic, irq->vector, irq->level ? APIC_TRIGGER_LEVEL
                                                   : APIC_TRIGGER_EDGE);
        break;
    case WIRE_IRQ_INIT:
        cpu_interrupt(cpu, CPU_INTERRUPT_INIT);
        break;
    case WIRE_IRQ_SIPI:
        apic->sipi_vector = irq->vector;
        cpu_interrupt(cpu, CPU_INTERRUPT_SIPI);
        break;
    case WIRE_IRQ_NMI:
        cpu_interrupt(cpu, CPU_INTERRUPT_NMI);
        break;
    case WIRE_IRQ_SMI:
        /* SMM is off: no node sends it. */
        break;
    case WIRE_IRQ_MCE:
        cpu_interrupt(cpu, CPU_INTERRUPT_MCE);
        break;
    }
}

static const char *irq_serve(const WireFrame *frame)
{
    if (!irq_is_stale(frame)) {
        trace_distkvm_irq_deliver(frame->from, frame->type, frame->irq.cpu,
                                  frame->sub, frame->irq.vector);
        deliver(frame->sub, &frame->irq);
    }
    irq_fence_served(frame->from);
    return NULL;
}

/* The sender knows the node of every CPU. */
static const char *irq_check(const WireFrame *frame)
{
    return distkvm_cpu_node(frame->irq.cpu) == distkvm->id
           ? NULL : "an interrupt for another node";
}

static const char *eoi_serve(const WireFrame *frame)
{
    if (!irq_is_stale(frame)) {
        trace_distkvm_irq_deliver(frame->from, frame->type,
                                  frame->eoi.vector, 0, frame->eoi.vector);
        ioapic_eoi_broadcast(frame->eoi.vector);
    }
    return NULL;
}

static const FrameService irq_service = {
    .name = "interrupt", .context = FRAME_BQL,
    .check = irq_check, .serve = irq_serve,
};

static const FrameService eoi_service = {
    .name = "end of interrupt", .context = FRAME_BQL, .serve = eoi_serve,
};

void irq_init(void)
{
    dispatch_register(WIRE_IRQ, &irq_service);
    dispatch_register(WIRE_EOI, &eoi_service);
    irq_fence_init();
}
