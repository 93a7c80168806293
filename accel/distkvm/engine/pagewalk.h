/*
 * distkvm: page tables that move because processors walk them
 *
 * Where a walk of the guest's page tables counts as a write, CPUs of two nodes
 * that use the same tables take them from each other, one page after another:
 * four or five for one access.  A page that leaves with the bytes it came with
 * was fetched for a walk.  When the next walk misses one such page, it will
 * miss the others, so they are asked for together.  The lane's thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PAGEWALK_H
#define DISTKVM_PAGEWALK_H

#include "accel/distkvm/core/coh-types.h"

/* Two walks of four levels, and the tables that a nested access adds. */
#define PAGEWALK_PAGES 12

typedef struct Pagewalk {
    CohPage page[PAGEWALK_PAGES];  /* the latest first */
    unsigned n;
} Pagewalk;

/* @page left this node, which owned it; @unchanged: as it had come. */
void pagewalk_left(Pagewalk *w, CohPage page, bool unchanged);
/* Did @page leave unchanged the last time, among the latest that did? */
bool pagewalk_has(const Pagewalk *w, CohPage page);

#endif
