/*
 * distkvm: page tables that move because processors walk them
 *
 * Where a walk of the guest's page tables counts as a write, CPUs of two nodes
 * that use the same tables take them from each other, one page after another:
 * four or five for one access.  A page that is given away as it had come was
 * fetched for a walk; when the next walk misses one such page, it will miss the
 * others, so they are asked for together.  Engine thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_WALKS_H
#define DISTKVM_WALKS_H

#include "accel/distkvm/core/coh-types.h"

/* Two walks of four levels, and what a nested access adds. */
#define WALKS_PAGES 12

typedef struct Walks {
    CohPage page[WALKS_PAGES];  /* the latest first */
    unsigned n;
} Walks;

/* @page left, @unchanged or not, after this node had owned it. */
void walks_lost(Walks *w, CohPage page, bool unchanged);
/* Did @page leave unchanged the last time, and not long ago? */
bool walks_has(const Walks *w, CohPage page);

#endif
