/*
 * distkvm: the part of a lane that fetches pages before a thread wants them
 *
 * Of a node's own pages that no node has touched the neighbours, which cost no
 * message; the other tables of a page walk; the pages that follow for a thread
 * that goes through memory in order: some along with the page it waits for,
 * and more before it has used those up (Linux: the readahead window).  No
 * thread waits for prefetched pages, so they are not held (hold.h), but for
 * the tables of a walk, and for companions (companion.h).
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PREFETCH_H
#define DISTKVM_PREFETCH_H

#include "companion.h"
#include "evict.h"
#include "executor.h"
#include "pagewalk.h"
#include "prejoin.h"

/* A read stream: a thread goes through memory page by page. */
typedef struct PrefetchStream {
    uint32_t tid;
    unsigned pages;             /* prefetched the last time                 */
    CohPage next;               /* first page that was not                  */
} PrefetchStream;

#define PREFETCH_STREAMS 64

typedef struct Prefetch {
    LaneCtx *ctx;
    const Evict *evict;
    Executor *executor;
    Outbox *outbox;
    const Pagewalk *pagewalk;
    const Prejoin *prejoin;
    Waiters *waiters;
    Wakeup *wakeup;
    PrefetchStream stream[PREFETCH_STREAMS];    /* by tid; collisions forget */
    Companions companions;
} Prefetch;

/*
 * The three after the page of @fault, which a thread waits for, was asked for.
 */
/* No node had touched that page, and this node is its home. */
void prefetch_untouched(Prefetch *prefetch, const MemFault *fault);
/* It was absent. */
void prefetch_absent(Prefetch *prefetch, const MemFault *fault);
/* It was on its way already. */
void prefetch_pending(Prefetch *prefetch, const MemFault *fault);
/*
 * The event for @fault, of a page in @state: a store also for a page that this
 * node writes soon after it has read it.  Before the page is asked for.
 */
uint8_t prefetch_event_type(Prefetch *prefetch, const MemFault *fault,
                            uint8_t state);
/*
 * It was missed, in @state: fetch the pages that were missed soon after it
 * before.
 */
void prefetch_companions(Prefetch *prefetch, const MemFault *fault,
                         uint8_t state);
/* Fetch the @pages of a range that are missing, for @tid. */
void prefetch_range(Prefetch *prefetch, CohPage first, unsigned pages,
                    bool write, uint32_t tid);

extern const LanePart prefetch_part;

#endif
