/*
 * distkvm: how long a page stays after it was fetched
 *
 * Two direct-mapped tables: a collision forgets a hold, which costs time and
 * nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hold.h"

void hold_init(Hold *hold, int64_t window_ns, unsigned fetches)
{
    memset(hold, 0, sizeof(*hold));
    hold->fetches = fetches;
    hold->asked_ns = window_ns;
    hold->window_ns = window_ns;
}

void hold_fetched(Hold *hold, int64_t ns)
{
    if (!hold->asked_ns) {
        return;
    }
    /*
     * Slow fetches waited for another node's window: no reason to widen ours.
     */
    hold->fastest_ns = hold->fastest_ns
                       ? MIN(hold->fastest_ns + hold->fastest_ns / 64, ns)
                       : ns;
    hold->window_ns = MAX(hold->asked_ns,
                          MIN(hold->fetches * hold->fastest_ns,
                              HOLD_ADAPTED_MAX_NS));
}

void hold_installed(Hold *hold, CohPage page, uint32_t tid, int64_t now_ns)
{
    unsigned p = page % HOLD_PAGES;
    unsigned t = tid % HOLD_THREADS;

    hold->page[p].page = page;
    hold->page[p].tid = tid;
    hold->page[p].installed_ns = now_ns;
    hold->thread[t].tid = tid;
    hold->thread[t].last_ns = now_ns;
}

int64_t hold_bound(const Hold *hold, CohPage page)
{
    unsigned p = page % HOLD_PAGES;

    return hold->page[p].page == page && hold->page[p].installed_ns
           ? hold->page[p].installed_ns + HOLD_WINDOWS_MAX * hold->window_ns
           : 0;
}

int64_t hold_until(const Hold *hold, CohPage page)
{
    unsigned p = page % HOLD_PAGES;
    unsigned t = hold->page[p].tid % HOLD_THREADS;
    int64_t last;

    if (hold->page[p].page != page || !hold->page[p].installed_ns) {
        return 0;
    }
    last = hold->page[p].installed_ns;
    if (hold->thread[t].tid == hold->page[p].tid) {
        last = MAX(last, hold->thread[t].last_ns);
    }
    return MIN(last + hold->window_ns, hold_bound(hold, page));
}

int64_t hold_until_idle(const Hold *hold, CohPage page)
{
    unsigned p = page % HOLD_PAGES;

    return hold->page[p].page == page && hold->page[p].installed_ns
           ? hold->page[p].installed_ns + hold->asked_ns : 0;
}

int64_t hold_until_waiting(const Hold *hold, CohPage page, bool has_turn)
{
    return has_turn ? hold_bound(hold, page)
                    : MIN(hold_until_idle(hold, page),
                          hold_until(hold, page));
}

bool hold_has_turn(int64_t guest_ns, unsigned nodes, unsigned node)
{
    return guest_ns / HOLD_TURN_NS % nodes == node;
}

int64_t hold_turn_left_ns(int64_t guest_ns)
{
    return HOLD_TURN_NS - guest_ns % HOLD_TURN_NS;
}

uint32_t hold_thread(const Hold *hold, CohPage page)
{
    unsigned p = page % HOLD_PAGES;

    return hold->page[p].page == page ? hold->page[p].tid : 0;
}
