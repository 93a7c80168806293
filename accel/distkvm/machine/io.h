/*
 * distkvm: device accesses between nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IO_H
#define DISTKVM_IO_H

#include "accel/distkvm/wire/wire.h"

/* Main thread, once, after memmap_init(). */
void io_init(void);
/* Engine thread. */
void io_frame(const WireFrame *frame);
/* Ask node 0's 8259 for its vector; false if nobody answers.  vCPU thread. */
bool io_acknowledge(uint64_t *answer);
/* Since when has the oldest access waited, in ns of get_clock()?  0: none. */
int64_t io_waits_since_ns(void);

#endif
