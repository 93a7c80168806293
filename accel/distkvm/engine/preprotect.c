/*
 * distkvm: protecting a run of pages at once
 *
 * When a peer is going to read pages that only this node has, each of them must
 * be write-protected before it is copied.  That is a system call, which costs
 * more than the network; one for the whole run costs as much.  Those that the
 * protocol does not give after all may be written again.  Engine thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "engine-internal.h"

static bool is_ours_alone(const Engine *e, CohPage page)
{
    return page < e->config.map->pages &&
           engine_is_mine(e, page) && e->node.peer[page].state == COH_PEER_M;
}

void engine_protect_ahead(Engine *e, const WireFrame *frame)
{
    CohEvent ev = { .page = frame->addr };
    const uint8_t *first;
    unsigned n = 0;

    /* What is pinned is being written. */
    if (frame->sub != COH_EV_GETS || e->pinned ||
        !is_ours_alone(e, frame->addr)) {
        return;
    }
    first = mem_host(e->mem, frame->addr);
    do {
        n++;
        if (n > frame->arg) {
            break;
        }
        engine_gathered(frame, n - 1, &ev);
    } while (ev.page == frame->addr + n && is_ours_alone(e, ev.page) &&
             mem_host(e->mem, ev.page) ==
             first + ((size_t)n << COH_PAGE_BITS));
    if (n > 1) {
        e->ahead = frame->addr;
        e->ahead_pages = n;
        if (mem_protect(e->mem, frame->addr, n, false)) {
            /* Perhaps some are: one by one, then. */
            engine_ahead_end(e);
        }
    }
}

bool engine_is_ahead(const Engine *e, CohPage page)
{
    return page - e->ahead < e->ahead_pages;
}

void engine_ahead_end(Engine *e)
{
    CohPage end = e->ahead + e->ahead_pages;

    for (CohPage page = e->ahead; page < end; page++) {
        /* Held, or its home serves somebody else. */
        if (e->node.peer[page].state == COH_PEER_M) {
            if (mem_protect(e->mem, page, 1, true)) {
                engine_break(e, "a page stays write-protected");
            }
            mem_wake(e->mem, page);
        }
    }
    e->ahead_pages = 0;
}
