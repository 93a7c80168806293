/*
 * distkvm: interrupts between nodes
 *
 * Every node holds all local APICs, so destinations are matched where an
 * interrupt arises; what is for a vCPU elsewhere leaves as a frame, under the
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
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "irq.h"
#include "pic.h"
#include "service.h"
#include "accel/distkvm/trace.h"

#define IRQ_LEVEL 0x100

static void (*local_handler)(CPUState *cpu, int mask);

void irq_set_local_handler(void (*handler)(CPUState *cpu, int mask))
{
    local_handler = handler;
}

static void irq_send(CPUState *cpu, WireIrq kind, uint64_t vector)
{
    WireFrame frame = {
        .type = WIRE_IRQ,
        .sub = kind,
        .arg = cpu->cpu_index,
        .addr = vector,
        .epoch = qatomic_read(&distkvm->epoch),
    };

    trace_distkvm_irq_send(cpu->cpu_index, kind, vector);
    engine_post(distkvm->engine,
                distkvm_cpu_node(cpu->cpu_index), &frame);
}

/* Empty the stand-in's request register: each vector becomes a frame. */
static void send_vectors(CPUState *cpu, APICCommonState *apic)
{
    for (int i = 0; i < ARRAY_SIZE(apic->irr); i++) {
        while (apic->irr[i]) {
            int vector = i * 32 + ctz32(apic->irr[i]);

            irq_send(cpu, WIRE_IRQ_FIXED, vector |
                     (apic_get_bit(apic->tmr, vector) ? IRQ_LEVEL : 0));
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
        irq_send(cpu, WIRE_IRQ_INIT, 0);
    }
    if (mask & CPU_INTERRUPT_SIPI) {
        irq_send(cpu, WIRE_IRQ_SIPI, apic->sipi_vector);
    }
    if (mask & CPU_INTERRUPT_NMI) {
        irq_send(cpu, WIRE_IRQ_NMI, 0);
    }
    if (mask & CPU_INTERRUPT_MCE) {
        irq_send(cpu, WIRE_IRQ_MCE, 0);
    }
}

bool distkvm_ioapic_eoi(int vector)
{
    WireFrame frame = { .type = WIRE_EOI, .arg = vector };

    if (!distkvm || distkvm_is_boot_node() || !node_is_formed()) {
        return false;
    }
    frame.epoch = qatomic_read(&distkvm->epoch);
    engine_post(distkvm->engine, 0, &frame);
    return true;
}

/* ------------------------------------------------------------ receiving */

static void deliver(const WireFrame *frame)
{
    CPUState *cpu = qemu_get_cpu(frame->arg);
    APICCommonState *apic;

    if (!cpu || !distkvm_cpu_is_local(cpu)) {
        return;
    }
    apic = APIC_COMMON(X86_CPU(cpu)->apic_state);
    switch (frame->sub) {
    case WIRE_IRQ_FIXED:
        apic_set_irq(apic, frame->addr & 0xff,
                     frame->addr & IRQ_LEVEL ? APIC_TRIGGER_LEVEL
                                             : APIC_TRIGGER_EDGE);
        break;
    case WIRE_IRQ_INIT:
        cpu_interrupt(cpu, CPU_INTERRUPT_INIT);
        break;
    case WIRE_IRQ_SIPI:
        apic->sipi_vector = frame->addr & 0xff;
        cpu_interrupt(cpu, CPU_INTERRUPT_SIPI);
        break;
    case WIRE_IRQ_NMI:
        cpu_interrupt(cpu, CPU_INTERRUPT_NMI);
        break;
    case WIRE_IRQ_MCE:
        cpu_interrupt(cpu, CPU_INTERRUPT_MCE);
        break;
    }
}

static void irq_in_service(void *opaque)
{
    g_autofree WireFrame *frame = opaque;

    if (frame->type == WIRE_IRQ && frame->sub == WIRE_IRQ_PIC) {
        pic_frame_in_service(frame);
        return;
    }
    /* Sent before a reset, arrived after it: stale. */
    if (frame->epoch != qatomic_read(&distkvm->epoch)) {
        return;
    }
    trace_distkvm_irq_deliver(frame->from, frame->type, frame->arg,
                              frame->sub, frame->addr);
    if (frame->type == WIRE_EOI) {
        ioapic_eoi_broadcast(frame->arg & 0xff);
    } else {
        deliver(frame);
    }
}

/* Is it for a CPU of this node, as its sender knows all CPUs' nodes? */
static bool is_for_us(const WireFrame *frame)
{
    if (frame->type == WIRE_EOI) {
        return frame->arg <= UINT8_MAX;
    }
    return frame->sub == WIRE_IRQ_PIC ||
           distkvm_cpu_node(frame->arg) == distkvm->id;
}

void irq_frame(const WireFrame *frame)
{
    if (!is_for_us(frame)) {
        member_expel(frame->from, "it sent an interrupt for another node");
        return;
    }
    service_queue(irq_in_service, g_memdup2(frame, sizeof(*frame)));
}
