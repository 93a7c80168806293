/*
 * distkvm: lists of pages in a frame
 *
 * Pure.  Spec: docs/wire-format.rst, "Several pages".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "pack.h"
#include "page-list.h"

typedef struct Item {
    CohPage page;
    uint64_t version;
} Item;

static const WireField fields[] = {
    { .name = "page", .bytes = 8, .count = 1, .at = offsetof(Item, page),
      .max = UINT64_MAX, .text = "number of the page in coherent RAM" },
    { .name = "version", .bytes = 8, .count = 1, .at = offsetof(Item, version),
      .max = UINT64_MAX, .text = "of what the requester has" },
};

void page_list_put(uint8_t *list, unsigned n, CohPage page, uint64_t version)
{
    const Item item = { page, version };

    wire_pack(fields, G_N_ELEMENTS(fields), &item,
              list + n * PAGE_LIST_ITEM_BYTES);
}

void page_list_get(const WireFrame *frame, unsigned n, CohPage *page,
                   uint64_t *version)
{
    const uint8_t *list = frame->payload;
    Item item;
    size_t used;

    wire_unpack(fields, G_N_ELEMENTS(fields), list + n * PAGE_LIST_ITEM_BYTES,
                PAGE_LIST_ITEM_BYTES, &used, &item);
    *page = item.page;
    *version = item.version;
}

bool page_list_is_valid(const WireFrame *frame)
{
    return (frame->sub == COH_EV_GETS || frame->sub == COH_EV_GETM) &&
           frame->coh.more <= PAGE_LIST_MAX &&
           frame->len == frame->coh.more * PAGE_LIST_ITEM_BYTES;
}
