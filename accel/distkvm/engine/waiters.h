/*
 * distkvm: the part of a lane that knows which threads wait for which pages
 *
 * A page that was asked for has an entry until it is installed, also one that
 * was prefetched and that no thread waits for yet.  Faults that wait for room
 * below the cap (evict.h) are here, too: they are not asked for yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_WAITERS_H
#define DISTKVM_WAITERS_H

#include "hold.h"
#include "lane-part.h"

typedef struct Waiter {
    int64_t since_ns;       /* get_clock() at the fault                     */
    uint32_t tid;
    uint8_t state;          /* CohPeerState at the fault                    */
    bool write;
    bool remote;            /* another node was needed                      */
    bool blocked;           /* a thread is stopped until the page comes     */
    bool prefetched;        /* asked for before a thread wanted it          */
} Waiter;

typedef struct Waiters {
    LaneCtx *ctx;
    Hold *hold;             /* told of pages that came for a thread         */
    GHashTable *table;      /* CohPage -> Waiter */
    GArray *deferred;       /* MemFault that wait for room */
} Waiters;

/*
 * @fault's page is asked for.  @state: its CohPeerState before that.
 * @prefetched: no thread waits for it yet.
 */
void waiters_add(Waiters *waiters, const MemFault *fault, uint8_t state,
                 bool prefetched);
/* The entry of @page, or NULL. */
Waiter *waiters_find(const Waiters *waiters, CohPage page);
/* Pages that were asked for. */
unsigned waiters_count(const Waiters *waiters);
/* Is thread @tid stopped for a page of this lane? */
bool waiters_is_blocked(const Waiters *waiters, uint32_t tid);
/* @page is installed: no thread waits for it; true if one may have. */
bool waiters_installed(Waiters *waiters, CohPage page);

/* @fault waits for room. */
void waiters_defer(Waiters *waiters, const MemFault *fault);
bool waiters_has_deferred(const Waiters *waiters);
/* All those faults, in order; the caller's to free. */
GArray *waiters_take_deferred(Waiters *waiters);

extern const LanePart waiters_part;

#endif
