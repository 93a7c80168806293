/*
 * distkvm: the part of a lane that lets requests wait for a busy home
 *
 * A home serves one request for a page at a time; the others wait here in
 * order of arrival.  A node asks once for a page, and for one operation on it,
 * and waits: so a page's queue is short.  Bytes that an operation puts wait
 * with it.  A node has at most REQUEST_COPIES_MAX such operations under way
 * (request.h), and a few that it does not wait for any more, so memory is
 * bounded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_STALLED_H
#define DISTKVM_STALLED_H

#include "lane-part.h"

/* Operations with bytes that wait for one node, at most: 4 MiB. */
#define STALLED_PUTS_MAX 1024

typedef struct Stalled {
    LaneCtx *ctx;
    uint16_t puts[COH_NODES_MAX];   /* of each node, that wait              */
    GHashTable *queues;     /* CohPage -> GQueue of CohEvent */
} Stalled;

/*
 * The protocol cannot serve @ev now.  A node that asks twice, or puts too
 * much, is lost.
 */
void stalled_add(Stalled *stalled, const CohEvent *ev);
/* The home of @page is not busy any more: submit the oldest request. */
void stalled_next(Stalled *stalled, CohPage page);

extern const LanePart stalled_part;

#endif
