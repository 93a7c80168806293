/*
 * distkvm: the part of a lane for pages touched before the cluster is complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "accel/distkvm/trace.h"
#include "prejoin.h"

static void prejoin_init(void *part, LaneCtx *ctx)
{
    Prejoin *prejoin = part;

    prejoin->ctx = ctx;
    prejoin->order = g_array_new(false, false, sizeof(CohPage));
    prejoin->lent = g_hash_table_new(NULL, NULL);
}

static void prejoin_free(void *part)
{
    Prejoin *prejoin = part;

    g_array_unref(prejoin->order);
    g_hash_table_unref(prejoin->lent);
}

void prejoin_fault(Prejoin *prejoin, CohPage page)
{
    LaneCtx *ctx = prejoin->ctx;
    int ret = mem_install(ctx->mem, page, NULL, true);

    trace_distkvm_prejoin(page);
    if (!ret) {
        g_array_append_val(prejoin->order, page);
        g_hash_table_add(prejoin->lent, GSIZE_TO_POINTER(page));
    } else if (ret != -EEXIST) {
        lane_break(ctx, "no memory for a page of another node");
        /* The thread may be the one that is to hear of it. */
        mem_poison(ctx->mem, page);
        return;
    }
    mem_wake(ctx->mem, page);
}

bool prejoin_has(const Prejoin *prejoin, CohPage page)
{
    return g_hash_table_contains(prejoin->lent, GSIZE_TO_POINTER(page));
}

void prejoin_give_back(Prejoin *prejoin, GQueue *taken)
{
    LaneCtx *ctx = prejoin->ctx;

    for (guint i = 0; i < prejoin->order->len; i++) {
        CohPage page = g_array_index(prejoin->order, CohPage, i);
        const void *host = mem_host(ctx->mem, page);

        if (!buffer_is_zero(host, COH_PAGE_SIZE)) {
            PrejoinPage *copy = g_new(PrejoinPage, 1);

            copy->page = page;
            memcpy(copy->data, host, COH_PAGE_SIZE);
            g_queue_push_tail(taken, copy);
        }
        if (mem_zap(ctx->mem, page)) {
            lane_break(ctx, "a page touched before the join stays");
        }
    }
    g_array_set_size(prejoin->order, 0);
    g_hash_table_remove_all(prejoin->lent);
}

const LanePart prejoin_part = {
    .init = prejoin_init,
    .free = prejoin_free,
};
