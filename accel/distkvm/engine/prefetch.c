/*
 * distkvm: the engine's part for threads that go through memory in order
 *
 * A thread that has shown that it reads page by page gets the pages after the
 * one it waits for along with it, and more before it has used those up.  It is
 * woken when what has arrived is in place: woken after its first page it takes
 * the CPU from the engine, and faults on the second, which lies there already.
 * Nobody waits for pages that come along, so they are not held either.  Engine
 * thread only.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "engine-internal.h"

/* ------------------------------------------------------------ readahead */

static void fetch_run(Engine *e, CohPage first, unsigned pages, uint8_t type)
{
    outbox_begin_batch(&e->outbox);
    for (CohPage page = first; page < first + pages; page++) {
        if (engine_may_come_along(e, page)) {
            wakeup_expect(&e->wakeup, page);
            engine_fetch_along(e, page, type);
        }
    }
    outbox_end_batch(&e->outbox);
}

static bool may_read_ahead(Engine *e)
{
    return e->ctx.config->readahead && e->ctx.phase == LANE_JOINED &&
           !e->ctx.pinned;
}

void engine_read_ahead(Engine *e, const MemFault *fault, uint8_t type)
{
    EngineRun *run = &e->run[fault->tid % ENGINE_RUNS];
    bool goes_on = run->tid == fault->tid && run->next == fault->page;

    if (!may_read_ahead(e)) {
        return;
    }
    run->tid = fault->tid;
    run->pages = goes_on ? MIN(run->pages * 2 + 1, e->ctx.config->readahead) : 0;
    run->next = fault->page + 1 + run->pages;
    fetch_run(e, fault->page + 1, run->pages, type);
}

void engine_read_on(Engine *e, const MemFault *fault, uint8_t type)
{
    EngineRun *run = &e->run[fault->tid % ENGINE_RUNS];
    CohPage next = run->next;

    if (!may_read_ahead(e) || run->tid != fault->tid ||
        next - fault->page > run->pages / 2) {
        return;
    }
    run->pages = MIN(run->pages * 2 + 1, e->ctx.config->readahead);
    run->next += run->pages;
    fetch_run(e, next, run->pages, type);
}
