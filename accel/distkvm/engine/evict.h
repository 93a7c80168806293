/*
 * distkvm: the part of a lane that keeps it to its share of memory
 *
 * Above its cap a node asks the homes to relieve it of pages: copies that
 * other nodes have too are dropped, a page that only this node has goes home.
 * These are hints, which a home may ignore, so they are repeated while they
 * are needed.  Faults on absent pages wait at the cap; a little above it a
 * home takes no pages back either.
 *
 * A cap may change.  A lower one is reached step by step, so that threads get
 * pages meanwhile: the cap that holds goes down as pages leave, and by a least
 * amount with time.
 *
 * No deadlock: consider nodes that are all full and wait for each other.
 * Copies that another node has too are dropped without asking for room, so
 * count the others: each such page is on one node and its home is one of these
 * nodes.  They are no more than the sum of the slices, which is less than the
 * sum of the caps: one of the nodes has room.  No cap that was ordered is less
 * than its node's slice and a reserve, and none that holds is less than the one
 * that was ordered.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_EVICT_H
#define DISTKVM_EVICT_H

#include "executor.h"
#include "hold.h"
#include "waiters.h"

/* Pages in order of their arrival. */
typedef struct EvictRing {
    uint64_t size, head, tail, len;
    uint32_t *page;
    uint8_t *flags;             /* of each page of all lanes; evict.c */
} EvictRing;

typedef struct Evict {
    LaneCtx *ctx;
    Executor *executor;
    const Hold *hold;
    const Waiters *waiters;
    /* Of this lane; 0: any number of pages. */
    uint64_t cap_pages;         /* that holds                               */
    uint64_t target_pages;      /* that it goes to                          */
    uint64_t ordered_pages;     /* atomic: of any thread                    */
    CohPage unseen;             /* from here on older pages are not in @ring */
    EvictRing ring;             /* complete with a cap only                 */
    GHashTable *adopting;       /* CohPage: they come, for no thread's fault */
    int64_t evicted_ns, due_ns;
} Evict;

/*
 * Bytes of the table that all lanes share: each uses those of its own pages.
 * To be given, zeroed, as @ring.flags to each lane; written to with a cap only.
 */
size_t evict_flags_bytes(const EngineConfig *config);
/*
 * The node keeps to @cap_pages of all lanes from the next pass on: its share
 * and more, or 0: any number.  Any thread; never waits, and wakes no lane.
 */
void evict_order_cap(Evict *evict, uint64_t cap_pages);
/* Pages present beyond the cap that was ordered last.  Any thread. */
uint64_t evict_excess_pages(const Evict *evict);
/* Is there a cap? */
bool evict_has_cap(const Evict *evict);
/* May the absent @page be fetched below the cap, or its slack? */
bool evict_has_room(const Evict *evict, CohPage page);
/* May faults that waited for room try again? */
bool evict_is_below_cap(const Evict *evict);

/* The absent @page is about to come, for no thread's fault. */
void evict_expect(Evict *evict, CohPage page);

extern const PageHooks evict_hooks;
extern const LanePart evict_part;

#endif
