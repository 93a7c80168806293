/*
 * distkvm: interrupts between nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IRQ_H
#define DISTKVM_IRQ_H

#include "hw/core/cpu.h"
#include "accel/distkvm/wire/wire.h"

/* In place of the accelerator's handle_interrupt.  BQL held. */
void irq_handle_interrupt(CPUState *cpu, int mask);
/* What irq_handle_interrupt() calls for local vCPUs.  Main thread. */
void irq_set_local_handler(void (*handler)(CPUState *cpu, int mask));
/* Engine thread. */
void irq_frame(const WireFrame *frame);

#endif
