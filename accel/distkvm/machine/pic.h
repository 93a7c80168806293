/*
 * distkvm: the 8259's one output line
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PIC_H
#define DISTKVM_PIC_H

#include "accel/distkvm/wire/wire.h"

void pic_frame_in_service(const WireFrame *frame);
/* Node 0: take the interrupt for a vCPU of another node. */
uint64_t pic_serve_acknowledge(void);

#endif
