/*
 * distkvm: requests for several pages in one frame
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "page-list.h"

G_STATIC_ASSERT(PAGE_LIST_MAX == WIRE_MORE_MAX + 1);

static void put(uint8_t *at, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, sizeof(value));
}

static uint64_t get(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT64_FROM_LE(value);
}

void page_list_put(uint8_t *list, unsigned n, const PageListItem *item)
{
    put(list + n * PAGE_LIST_ITEM_BYTES, item->page);
    put(list + n * PAGE_LIST_ITEM_BYTES + 8, item->version);
}

bool page_list_is_valid(const WireFrame *frame)
{
    return (frame->sub == COH_EV_GETS || frame->sub == COH_EV_GETM) &&
           frame->coh.more < PAGE_LIST_MAX &&
           frame->len == frame->coh.more * PAGE_LIST_ITEM_BYTES;
}

PageListItem page_list_get(const WireFrame *frame, unsigned n)
{
    const uint8_t *at = (const uint8_t *)frame->payload +
                        n * PAGE_LIST_ITEM_BYTES;

    return (PageListItem) { .page = get(at), .version = get(at + 8) };
}
