/*
 * distkvm: the part of a lane that protects several pages at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "preprotect.h"

static void preprotect_init(void *part, LaneCtx *ctx)
{
    Preprotect *protect = part;

    protect->ctx = ctx;
}

static bool is_owned(const LaneCtx *ctx, CohPage page)
{
    return page < lane_page_end(ctx) && lane_owns(ctx, page) &&
           ctx->node->peer[page].state == COH_PEER_M;
}

/* Is @page next to the @n pages from @first on, here as in the guest? */
static bool continues(LaneCtx *ctx, CohPage first, unsigned n, CohPage page)
{
    const uint8_t *host = mem_host(ctx->mem, first);

    return page == first + n && is_owned(ctx, page) &&
           mem_host(ctx->mem, page) == host + ((size_t)n << COH_PAGE_BITS);
}

void preprotect_begin(Preprotect *protect, const WireFrame *frame)
{
    LaneCtx *ctx = protect->ctx;
    CohPage first = frame->coh.page;
    unsigned n = 1;

    /* Pinned pages are being written. */
    if (frame->sub != COH_EV_GETS || ctx->pinned || !is_owned(ctx, first)) {
        return;
    }
    while (n <= frame->coh.more &&
           continues(ctx, first, n, page_list_get(frame, n - 1).page)) {
        n++;
    }
    if (n > 1) {
        protect->first = first;
        protect->pages = n;
        if (mem_protect(ctx->mem, first, n, false)) {
            /* Perhaps some are protected: one by one, then. */
            preprotect_end(protect);
        }
    }
}

bool preprotect_has(const Preprotect *protect, CohPage page)
{
    return page - protect->first < protect->pages;
}

void preprotect_end(Preprotect *protect)
{
    LaneCtx *ctx = protect->ctx;
    CohPage end = protect->first + protect->pages;

    for (CohPage page = protect->first; page < end; page++) {
        /* Its revocation is delayed, or its home serves another node. */
        if (ctx->node->peer[page].state == COH_PEER_M) {
            if (mem_protect(ctx->mem, page, 1, true)) {
                lane_break(ctx, "a page stays write-protected");
            }
            mem_wake(ctx->mem, page);
        }
    }
    protect->pages = 0;
}

const LanePart preprotect_part = {
    .init = preprotect_init,
};
