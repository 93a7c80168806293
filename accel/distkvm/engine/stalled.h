/*
 * distkvm: the part of a lane that lets requests wait for a busy home
 *
 * A home serves one request for a page at a time; the others wait here in
 * order of arrival.  A node asks once for a page, and for one operation on it,
 * and waits: so a page's queue is short.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_STALLED_H
#define DISTKVM_STALLED_H

#include "lane-part.h"

typedef struct Stalled {
    LaneCtx *ctx;
    GHashTable *queues;     /* CohPage -> GQueue of CohEvent */
} Stalled;

/* The protocol cannot serve @ev now; a node that asks twice is lost. */
void stalled_add(Stalled *stalled, const CohEvent *ev);
/* The home of @page is not busy any more: submit the oldest request. */
void stalled_next(Stalled *stalled, CohPage page);

extern const LanePart stalled_part;

#endif
