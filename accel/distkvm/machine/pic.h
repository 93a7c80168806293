/*
 * distkvm: the 8259's one output line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PIC_H
#define DISTKVM_PIC_H

/* Serve the 8259's frames.  Main thread, before membership starts. */
void pic_init(void);

#endif
