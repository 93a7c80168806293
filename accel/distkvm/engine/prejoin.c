/*
 * distkvm: pages touched before the cluster is complete
 *
 * Firmware and loaders write into RAM while this node is still alone, and the
 * homes of some of it cannot be asked yet.  Such a page is lent, outside the
 * protocol: zeroes at first, as for every page nobody has touched.  Once all
 * nodes are there, and before the guest starts, what it holds now is taken
 * aside, the page is given back, and the contents are written again in the
 * ordinary way.  Until then it is present while the protocol takes it for
 * absent, so it must not come along with others.  Node 0's contents count; what
 * others found is dropped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "engine-internal.h"
#include "accel/distkvm/trace.h"

/* Taken from one lent page; in order of being touched. */
typedef struct EarlyPage {
    CohPage page;
    uint8_t data[COH_PAGE_SIZE];
} EarlyPage;

void engine_early_fault(Engine *e, CohPage page)
{
    int ret = mem_install(e->ctx.mem, page, NULL, true);

    trace_distkvm_early(page);
    if (!ret) {
        g_array_append_val(e->early, page);
        g_hash_table_add(e->lent, GSIZE_TO_POINTER(page));
    } else if (ret != -EEXIST) {
        lane_break(&e->ctx, "no memory for a page of another node");
        return;
    }
    mem_wake(e->ctx.mem, page);
}

bool engine_is_lent(Engine *e, CohPage page)
{
    return g_hash_table_contains(e->lent, GSIZE_TO_POINTER(page));
}

static void call_take_back(Engine *e, void *opaque)
{
    GQueue *taken = opaque;

    for (guint i = 0; i < e->early->len; i++) {
        CohPage page = g_array_index(e->early, CohPage, i);
        const void *host = mem_host(e->ctx.mem, page);

        if (!buffer_is_zero(host, COH_PAGE_SIZE)) {
            EarlyPage *early = g_new(EarlyPage, 1);

            early->page = page;
            memcpy(early->data, host, COH_PAGE_SIZE);
            g_queue_push_tail(taken, early);
        }
        mem_zap(e->ctx.mem, page);
    }
    g_array_set_size(e->early, 0);
    g_hash_table_remove_all(e->lent);
}

void engine_settle_early(Engine *e, bool keep)
{
    GQueue taken = G_QUEUE_INIT;
    EarlyPage *early;

    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_call(&e->all[lane]->mailbox, call_take_back, &taken, -1);
    }
    while ((early = g_queue_pop_head(&taken))) {
        if (keep) {
            memcpy(mem_host(e->ctx.mem, early->page), early->data, COH_PAGE_SIZE);
        }
        g_free(early);
    }
}
