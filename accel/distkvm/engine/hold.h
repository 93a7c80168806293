/*
 * distkvm: how long a page stays after it was fetched
 *
 * One instruction may need several pages at once.  Each page a thread fetched
 * is therefore held until a little after that thread's *last* fetch, within a
 * bound; else two nodes could take each other's pages for ever (Mirage's time
 * window, Fleisch and Popek 1989).  The window must outlast the next fetch, so
 * it is never shorter than a few of the fastest ones.  Engine thread only.  A
 * hold merely delays the delivery of a request, which the protocol allows the
 * network anyway.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HOLD_H
#define DISTKVM_HOLD_H

#include "accel/distkvm/core/coh-types.h"

#define HOLD_PAGES 1024
#define HOLD_THREADS 256
/* A page is never held longer than this many windows. */
#define HOLD_WINDOWS_MAX 8
/* A window lasts this many of the fastest fetches, up to a limit. */
#define HOLD_FETCHES 3
/*
 * Where page walks count as writes, a thread needs about twelve tables at once
 * and loses them together; the window must cover some progress.
 */
#define HOLD_FETCHES_WALKS 20
#define HOLD_ADAPTED_MAX_NS (20 * 1000 * 1000)
/* A turn lasts for many fetches, unless a page takes milliseconds. */
#define HOLD_TURN_NS (50 * 1000 * 1000)

typedef struct Hold {
    unsigned fetches;           /* HOLD_FETCHES or HOLD_FETCHES_WALKS */
    int64_t asked_ns;           /* the shortest window; 0: no hold at all */
    int64_t window_ns;          /* now */
    int64_t fastest_ns;         /* recent fetch; 0: none yet */
    struct {
        CohPage page;
        uint32_t tid;
        int64_t installed_ns;
    } page[HOLD_PAGES];
    struct {
        uint32_t tid;
        int64_t last_ns;
    } thread[HOLD_THREADS];
} Hold;

void hold_init(Hold *hold, int64_t window_ns, unsigned fetches);
/* Thread @tid has been given @page at @now_ns. */
void hold_installed(Hold *hold, CohPage page, uint32_t tid, int64_t now_ns);
/* Fetching a page from another node took @ns. */
void hold_fetched(Hold *hold, int64_t ns);
/* End of the hold of @page; a past time means it may go now. */
int64_t hold_until(const Hold *hold, CohPage page);
/* No hold of @page ends later, also if its thread waits on; the same. */
int64_t hold_bound(const Hold *hold, CohPage page);
/* End of the hold if its thread is idle: no longer than was asked. */
int64_t hold_until_idle(const Hold *hold, CohPage page);
/*
 * End of the hold if its thread waits for another page: as if idle, but up to
 * the bound on the node that @has_turn.  Two threads may wait for each other's
 * pages, and as long as both nodes hold theirs neither goes on.
 */
int64_t hold_until_waiting(const Hold *hold, CohPage page, bool has_turn);
/* One of @nodes has the turn, by guest time: all agree without a message. */
bool hold_has_turn(int64_t guest_ns, unsigned nodes, unsigned node);
/* How long, from @guest_ns on, the turn lasts yet, in ns. */
int64_t hold_turn_left_ns(int64_t guest_ns);
/* The thread that @page is held for, or 0. */
uint32_t hold_thread(const Hold *hold, CohPage page);

#endif
