/*
 * distkvm: the part of a lane that counts faults of each page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "heat.h"

static void heat_init(void *part, LaneCtx *ctx)
{
    Heat *heat = part;

    heat->ctx = ctx;
    qemu_mutex_init(&heat->lock);
}

static void heat_free(void *part)
{
    Heat *heat = part;

    qemu_mutex_destroy(&heat->lock);
}

/* Put @page where it belongs among the @n sorted pages at @hot, of @max. */
static void insert(EngineHotPage *hot, unsigned max, unsigned n,
                   const EngineHotPage *page)
{
    unsigned at = n;

    while (at && hot[at - 1].faults < page->faults) {
        at--;
    }
    if (at < max) {
        memmove(&hot[at + 1], &hot[at],
                (MIN(n, max - 1) - at) * sizeof(*hot));
        hot[at] = *page;
    }
}

static void note_hot(Heat *heat, CohPage page, unsigned faults)
{
    EngineHotPage entry = { .page = page, .faults = faults };
    EngineHotPage *hot = heat->hot;
    unsigned n = 0, at = ENGINE_HOT_MAX;

    QEMU_LOCK_GUARD(&heat->lock);
    for (; n < ENGINE_HOT_MAX && hot[n].faults; n++) {
        at = hot[n].page == page ? n : at;
    }
    if (at < n) {
        memmove(&hot[at], &hot[at + 1], (n - at - 1) * sizeof(entry));
        n--;
    }
    insert(hot, ENGINE_HOT_MAX, n, &entry);
}

void heat_add(Heat *heat, CohPage page)
{
    uint16_t *faults = &heat->faults[page];

    *faults += *faults < UINT16_MAX;
    if (*faults > heat->hot[ENGINE_HOT_MAX - 1].faults) {
        note_hot(heat, page, *faults);
    }
}

unsigned heat_merge(Heat *heat, EngineHotPage *hot, unsigned max, unsigned n)
{
    QEMU_LOCK_GUARD(&heat->lock);
    for (unsigned i = 0; i < ENGINE_HOT_MAX && heat->hot[i].faults; i++) {
        insert(hot, max, n, &heat->hot[i]);
        n = MIN(n + 1, max);
    }
    return n;
}

const LanePart heat_part = {
    .init = heat_init,
    .free = heat_free,
};
