/*
 * distkvm: the part of a lane that counts faults of each page
 *
 * The pages with most faults are in a short list that is kept sorted, so that
 * no query reads all counters.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HEAT_H
#define DISTKVM_HEAT_H

#include "qemu/thread.h"
#include "lane-part.h"

typedef struct Heat {
    LaneCtx *ctx;
    uint16_t *faults;           /* of each page of all lanes; own pages only */
    QemuMutex lock;             /* the next */
    EngineHotPage hot[ENGINE_HOT_MAX];  /* most faults first; then zeroes */
} Heat;

/* A fault on @page needed another node.  A count stops at UINT16_MAX. */
void heat_add(Heat *heat, CohPage page);
/*
 * Put this lane's hottest pages into the @n sorted ones at @hot, which has
 * room for @max; the new number.  Any thread.
 */
unsigned heat_merge(Heat *heat, EngineHotPage *hot, unsigned max, unsigned n);

extern const LanePart heat_part;

#endif
