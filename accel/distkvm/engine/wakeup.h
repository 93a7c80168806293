/*
 * distkvm: the part of a lane that wakes threads whose pages have come
 *
 * While prefetched pages are on their way, a thread is woken only when those
 * that have arrived are installed.  Woken after its first page it would take
 * the CPU from the lane's thread and fault on the second, which lies there
 * already.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_WAKEUP_H
#define DISTKVM_WAKEUP_H

#include "lane-part.h"

typedef struct Wakeup {
    LaneCtx *ctx;
    GHashTable *prefetched; /* page numbers that are on their way           */
    GArray *pending_wakes;  /* CohPage: installed, its threads not woken    */
    unsigned n_installed;   /* since the first of those                     */
} Wakeup;

/* @page was prefetched: wake-ups wait for it a little. */
void wakeup_expect(Wakeup *wakeup, CohPage page);
/* @page is installed. */
void wakeup_installed(Wakeup *wakeup, CohPage page);
/* Wake the threads that wait for @page, at the end of this pass or before. */
void wakeup_page(Wakeup *wakeup, CohPage page);
/* Are threads still to be woken? */
bool wakeup_is_pending(const Wakeup *wakeup);

extern const LanePart wakeup_part;
/* Runs pending wake-ups: twice in a pass, before faults are read and last. */
extern const LanePart wakeup_pass;

#endif
