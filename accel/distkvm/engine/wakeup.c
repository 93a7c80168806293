/*
 * distkvm: the part of a lane that wakes threads whose pages have come
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "wakeup.h"

/* No thread waits longer than it takes to install this many pages. */
#define WAKE_AFTER 16

static void wakeup_init(void *part, LaneCtx *ctx)
{
    Wakeup *wakeup = part;

    wakeup->ctx = ctx;
    wakeup->prefetched = g_hash_table_new(NULL, NULL);
    wakeup->pending_wakes = g_array_new(false, false, sizeof(CohPage));
}

static void wakeup_free(void *part)
{
    Wakeup *wakeup = part;

    g_hash_table_unref(wakeup->prefetched);
    g_array_unref(wakeup->pending_wakes);
}

/* Counts as no work: the pass that installed a page has said so. */
static bool wakeup_run(void *part)
{
    Wakeup *wakeup = part;
    GArray *pages = wakeup->pending_wakes;

    for (guint i = 0; i < pages->len; i++) {
        mem_wake(wakeup->ctx->mem, g_array_index(pages, CohPage, i));
        /* The thread may have run, on this CPU, and faulted again. */
        wakeup->ctx->faults_pending = true;
    }
    g_array_set_size(pages, 0);
    wakeup->n_installed = 0;
    return false;
}

/* No page comes any more. */
static void wakeup_fail(void *part)
{
    Wakeup *wakeup = part;

    g_hash_table_remove_all(wakeup->prefetched);
    wakeup_run(wakeup);
}

void wakeup_expect(Wakeup *wakeup, CohPage page)
{
    g_hash_table_add(wakeup->prefetched, GSIZE_TO_POINTER(page));
}

void wakeup_installed(Wakeup *wakeup, CohPage page)
{
    g_hash_table_remove(wakeup->prefetched, GSIZE_TO_POINTER(page));
    if (wakeup->pending_wakes->len && ++wakeup->n_installed >= WAKE_AFTER) {
        wakeup_run(wakeup);
    }
}

void wakeup_page(Wakeup *wakeup, CohPage page)
{
    g_array_append_val(wakeup->pending_wakes, page);
    /* A page walk needs all its tables, and its thread is woken for each. */
    if (!g_hash_table_size(wakeup->prefetched) ||
        wakeup->ctx->config->walks_write) {
        wakeup_run(wakeup);
    }
}

bool wakeup_is_pending(const Wakeup *wakeup)
{
    return wakeup->pending_wakes->len;
}

const LanePart wakeup_part = {
    .init = wakeup_init,
    .free = wakeup_free,
    .fail = wakeup_fail,
};

const LanePart wakeup_pass = {
    .run = wakeup_run,
};
