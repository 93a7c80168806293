/*
 * distkvm: requests for several pages in one frame
 *
 * A COH_EV_GETS or COH_EV_GETM frame whose @coh.more is not 0 asks for that many
 * more pages: its payload lists each with the version that the requester has.
 * Pure.  Spec: docs/wire-format.rst, "Several pages".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PAGE_LIST_H
#define DISTKVM_PAGE_LIST_H

#include "wire.h"

/* Pages of one frame, that of its head included. */
#define PAGE_LIST_MAX 128
/* A page number and a version of it. */
#define PAGE_LIST_ITEM_BYTES 16

typedef struct PageListItem {
    CohPage page;
    uint64_t version;       /* that the requester has; 0: a page of zeroes  */
} PageListItem;

/* Write @item as number @n, from 0, of the list at @list. */
void page_list_put(uint8_t *list, unsigned n, const PageListItem *item);
/* Is the list behind @frame's first page as long as @frame says? */
bool page_list_is_valid(const WireFrame *frame);
/* Number @n, from 0, of the valid list of @frame. */
PageListItem page_list_get(const WireFrame *frame, unsigned n);

#endif
