/*
 * distkvm: the part of a lane for pages touched before the cluster is complete
 *
 * Firmware and loaders write into RAM while this node is still alone, and the
 * homes of some of it cannot be asked yet.  Such a page is lent, outside the
 * protocol: zeroes at first, as every page that no node has touched.  Once all
 * nodes are there, and before the guest starts, its content is taken aside,
 * the page is given back, and the content is written again in the ordinary
 * way.  Until then the page is present while the protocol takes it for absent,
 * so it must not be prefetched.  Node 0's contents count; those of others are
 * dropped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PREJOIN_H
#define DISTKVM_PREJOIN_H

#include "lane-part.h"

/* The content of one lent page. */
typedef struct PrejoinPage {
    CohPage page;
    uint8_t data[COH_PAGE_SIZE];
} PrejoinPage;

typedef struct Prejoin {
    LaneCtx *ctx;
    GArray *order;              /* CohPage, in order of being touched */
    GHashTable *lent;           /* the same page numbers as a set */
} Prejoin;

/* A thread faulted on @page, whose home cannot be asked yet. */
void prejoin_fault(Prejoin *prejoin, CohPage page);
/* Is @page lent, and not given back yet? */
bool prejoin_has(const Prejoin *prejoin, CohPage page);
/* Give all pages back; contents but zeroes, as PrejoinPage, go to @taken. */
void prejoin_give_back(Prejoin *prejoin, GQueue *taken);

extern const LanePart prejoin_part;

#endif
