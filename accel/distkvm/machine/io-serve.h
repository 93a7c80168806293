/*
 * distkvm: device accesses of other nodes, served
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IO_SERVE_H
#define DISTKVM_IO_SERVE_H

#include <stdint.h>

/* Main thread, before membership starts. */
void io_serve_init(void);
/*
 * Within an access that is served for another node: a part of it, to the
 * configuration byte @addr, will be done by io_complete(), and the answer waits
 * for that.  NULL if there is no such access.  The caller returns 0 for a
 * read.  BQL held, for both.
 */
typedef struct IoAnswer IoAnswer;
IoAnswer *io_defer(void);
void io_complete(IoAnswer *answer, unsigned addr, uint32_t data);

#endif
