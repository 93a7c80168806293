/*
 * distkvm: where bytes and pages meet
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "vdma-policy.h"

/* Of absent pages; the home makes an untouched or a shared page come. */
static const DistkvmCopyWay absent[2][VDMA_CONSUMER__MAX] = {
    /* memory to device: no copy is made, and its owner keeps the page */
    [false] = {
        [VDMA_CONSUMER_UNKNOWN] = DISTKVM_COPY_VISIT,
        [VDMA_CONSUMER_HERE] = DISTKVM_COPY_VISIT,
        [VDMA_CONSUMER_AWAY] = DISTKVM_COPY_VISIT,
    },
    /* device to memory */
    [true] = {
        [VDMA_CONSUMER_UNKNOWN] = DISTKVM_COPY_VISIT,
        [VDMA_CONSUMER_HERE] = DISTKVM_COPY_MOVE,
        [VDMA_CONSUMER_AWAY] = DISTKVM_COPY_VISIT,
    },
};

/* The page shall come. */
static DistkvmCopyWay come(const VdmaCase *c)
{
    /* A shared page is here already, and becomes this node's. */
    return c->put && c->whole && c->state == DISTKVM_PAGE_ABSENT
           ? DISTKVM_COPY_FILL : DISTKVM_COPY_MOVE;
}

DistkvmCopyWay vdma_policy(DistkvmDmaPolicy policy, const VdmaCase *c)
{
    if (policy == DISTKVM_DMA_FAULTS || c->state == DISTKVM_PAGE_OWNED ||
        (c->state == DISTKVM_PAGE_SHARED && !c->put)) {
        return DISTKVM_COPY_HERE;
    }
    if (policy == DISTKVM_DMA_VISIT) {
        return DISTKVM_COPY_VISIT;
    }
    /* A shared page has no owner to visit: it would come anyway. */
    if (policy == DISTKVM_DMA_MOVE || c->state == DISTKVM_PAGE_SHARED ||
        absent[c->put][c->consumer] == DISTKVM_COPY_MOVE) {
        return come(c);
    }
    return absent[c->put][c->consumer];
}
