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
#ifndef DISTKVM_BOUNCE_H
#define DISTKVM_BOUNCE_H

#include "accel/distkvm/core/coh-types.h"

#define BOUNCE_PAGES 256
/* A stay with fewer accesses was not worth it; so many in a row count. */
#define BOUNCE_USES 32
#define BOUNCE_STRIKES 3
/* Then so many accesses travel before the page may come again. */
#define BOUNCE_TRAVELS 512

typedef struct Bounce {
    struct {
        CohPage page;
        uint32_t uses, strikes, travels;
    } page[BOUNCE_PAGES];
} Bounce;

/* An access found @page here. */
void bounce_used(Bounce *b, CohPage page);
/* An access did not: true if it had better travel than fetch the page. */
bool bounce_missed(Bounce *b, CohPage page);

#endif
