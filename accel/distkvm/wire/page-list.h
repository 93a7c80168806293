/*
 * distkvm: lists of pages in a frame
 *
 * A request for several pages of one home names the first page in its body
 * (WireCoh) and the others in its payload, each with the version that the
 * requester has of it.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PAGE_LIST_H
#define DISTKVM_PAGE_LIST_H

#include "wire.h"

/* Pages in a list, besides the one in the body. */
#define PAGE_LIST_MAX 127
#define PAGE_LIST_ITEM_BYTES 16
#define PAGE_LIST_BYTES_MAX (PAGE_LIST_MAX * PAGE_LIST_ITEM_BYTES)

/* Write item @n, below PAGE_LIST_MAX, of the list at @list. */
void page_list_put(uint8_t *list, unsigned n, CohPage page, uint64_t version);
/* Read item @n, below more of WireCoh, of a frame whose list is valid. */
void page_list_get(const WireFrame *frame, unsigned n, CohPage *page,
                   uint64_t *version);
/* Is the payload of @frame the list that its body announces? */
bool page_list_is_valid(const WireFrame *frame);

#endif
