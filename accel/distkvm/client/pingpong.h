/*
 * distkvm: which pages had better stay where they are
 *
 * A page that comes, is used a few times, and is taken again costs more than
 * it brings: nodes use different words of it, or one as a lock.  An emulator
 * that asks before each access (MEM_ACCESS) can leave such a page to its owner
 * and send the accesses.  (Adaptive granularity against false sharing: the
 * 2003 design, paragraph 91; "competitive" migration: Black and Sleator 1989.)
 *
 * A direct-mapped table without locks: a race or a collision costs a wrong
 * guess, nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PINGPONG_H
#define DISTKVM_PINGPONG_H

#include "accel/distkvm/core/coh-types.h"

#define PINGPONG_PAGES 256
/* A stay with fewer accesses was not worth it; stays in a row that count. */
#define PINGPONG_USES 32
#define PINGPONG_STRIKES 3
/* Accesses that travel then, before the page may come again. */
#define PINGPONG_TRAVELS 512

typedef struct PingPong {
    struct {
        CohPage page;
        uint32_t uses, strikes, travels;
    } page[PINGPONG_PAGES];
} PingPong;

/* An access found @page here. */
void pingpong_used(PingPong *b, CohPage page);
/* An access did not: true if it had better travel than fetch the page. */
bool pingpong_missed(PingPong *b, CohPage page);

#endif
