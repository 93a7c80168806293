/*
 * distkvm: the part of a lane that keeps it to its share of memory
 *
 * Above its cap a node asks the homes to relieve it of pages: copies that
 * other nodes have too are dropped, a page that only this node has goes home.
 * These are hints, which a home may ignore, so they are repeated while they
 * are needed.  Faults on absent pages wait at the cap; a little above it a
 * home takes no pages back either.
 *
 * No deadlock: consider nodes that are all full and wait for each other.
 * Copies that another node has too are dropped without asking for room, so
 * count the others: each such page is on one node and its home is one of these
 * nodes.  They are no more than the sum of the slices, which is less than the
 * sum of the caps: one of the nodes has room.
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
    uint64_t cap_pages;         /* of this lane; 0: any number of pages     */
    EvictRing ring;             /* with a cap only */
    GHashTable *adopting;       /* CohPage: on their way back to this home  */
    int64_t evicted_ns, due_ns;
} Evict;

/*
 * Bytes of the table that all lanes share: each uses those of its own pages.
 * To be given, zeroed, as @ring.flags to each lane; without a cap 0.
 */
size_t evict_flags_bytes(const EngineConfig *config);
/* May the absent @page be fetched below the cap, or its slack? */
bool evict_has_room(const Evict *evict, CohPage page);
/* May faults that waited for room try again? */
bool evict_is_below_cap(const Evict *evict);

extern const PageHooks evict_hooks;
extern const LanePart evict_part;

#endif
