/*
 * distkvm: the part of a lane that protects several pages at once
 *
 * Before pages that only this node has are copied to a peer that is going to
 * read them, each must be write-protected.  That is a system call, which costs
 * more than the network; one call for all pages of a list costs as much as for
 * one.  Pages that the protocol does not give after all are made writable
 * again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PREPROTECT_H
#define DISTKVM_PREPROTECT_H

#include "accel/distkvm/wire/page-list.h"
#include "lane-part.h"

typedef struct Preprotect {
    LaneCtx *ctx;
    CohPage first;
    unsigned pages;         /* from there on are write-protected; 0: none   */
} Preprotect;

/* The valid list of @frame is going to be served. */
void preprotect_begin(Preprotect *protect, const WireFrame *frame);
/* Is @page write-protected before the protocol has said so? */
bool preprotect_has(const Preprotect *protect, CohPage page);
/* The list is served, or this node is going to write to a page of it. */
void preprotect_end(Preprotect *protect);

extern const LanePart preprotect_part;

#endif
