/*
 * distkvm: the state that all parts of a lane share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "lane-ctx.h"

void lane_ctx_init(LaneCtx *ctx)
{
    g_queue_init(&ctx->events);
}

void lane_ctx_free(LaneCtx *ctx)
{
    g_queue_clear_full(&ctx->events, g_free);
}

void lane_ctx_fail(LaneCtx *ctx)
{
    ctx->phase = LANE_FAILED;
    g_queue_clear_full(&ctx->events, g_free);
}

bool lane_owns(const LaneCtx *ctx, CohPage page)
{
    return lane_of(&ctx->config->lanes, page) == ctx->lane;
}

bool lane_is_locked(const LaneCtx *ctx, CohPage page)
{
    return ctx->pinned && (page == ctx->locked[0] || page == ctx->locked[1]);
}

CohPage lane_page_end(const LaneCtx *ctx)
{
    return ctx->config->map->pages;
}

const CohHome *lane_directory(const LaneCtx *ctx, CohPage page)
{
    return page < lane_page_end(ctx) ? coh_node_home(ctx->node, page) : NULL;
}

bool lane_is_untouched(const LaneCtx *ctx, CohPage page)
{
    const CohHome *home = lane_directory(ctx, page);

    return home && home->state == COH_HOME_U;
}

uint32_t lane_epoch(const LaneCtx *ctx)
{
    return ctx->host->epoch ? ctx->host->epoch(ctx->opaque) : 0;
}

bool lane_is_too_old(const LaneCtx *ctx, uint32_t epoch)
{
    return (int32_t)(epoch - lane_epoch(ctx)) < 0;
}

CohEvent *lane_event_copy(const CohEvent *ev)
{
    size_t len = ev->bytes ? ev->op.length : 0;
    CohEvent *copy = g_malloc(sizeof(*copy) + len);

    *copy = *ev;
    if (len) {
        copy->bytes = memcpy(copy + 1, ev->bytes, len);
    }
    return copy;
}

void lane_submit(LaneCtx *ctx, const CohEvent *ev)
{
    g_queue_push_tail(&ctx->events, lane_event_copy(ev));
}

void lane_break(LaneCtx *ctx, const char *why)
{
    ctx->host->broken(ctx->opaque, why);
}

void lane_lose(LaneCtx *ctx, CohNodeId peer, const char *why)
{
    ctx->host->lost(ctx->opaque, peer, why);
}

void lane_release(LaneCtx *ctx, CohPage page)
{
    int ret;

    switch (ctx->node->peer[page].state) {
    case COH_PEER_S:
    case COH_PEER_SM_AD:
    case COH_PEER_SM_A:
        /*
         * No other node is left to see the write.  A thread that is woken
         * before the protection changed faults again.
         */
        ret = mem_protect(ctx->mem, page, 1, true);
        if (ret && ret != -EAGAIN) {
            mem_poison(ctx->mem, page);
        }
        mem_wake(ctx->mem, page);
        break;
    case COH_PEER_M:
        mem_wake(ctx->mem, page);
        break;
    default:
        mem_poison(ctx->mem, page);
        break;
    }
}
