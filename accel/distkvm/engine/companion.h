/*
 * distkvm: pages that are missed together
 *
 * One wake-up of a task on another node misses thirty pages, one after the
 * other, and the next wake-up misses the same: locks, run queues, the tasks'
 * own pages.  So a lane remembers which pages a thread missed soon after which
 * (Wenisch, Somogyi, Hardavellas, Kim, Ailamaki, Falsafi, "Temporal Streaming
 * of Shared Memory", ISCA 2005), and what a node writes soon after it has read
 * it (Stenstrom, Brorsson, Sandberg, "An Adaptive Cache Coherence Protocol
 * Optimized for Migratory Sharing", ISCA 1993, at the reader instead of the
 * home).
 *
 * A prefetched page is not missed, so nothing tells that it is
 * still wanted.  So a companion is left out now and then: if it is missed then,
 * it is trusted for twice as long as before, else it is forgotten.
 *
 * The lane's thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_COMPANION_H
#define DISTKVM_COMPANION_H

#include "accel/distkvm/core/coh-types.h"

/* Companions of one page. */
#define COMPANIONS_MAX 14
/* Pages whose companions are remembered. */
#define COMPANION_SETS 16384
/* Misses of a burst that the next one may be a companion of. */
#define COMPANION_MISSES 16
/* It is one if the thread used less CPU time than this in between. */
#define COMPANION_WINDOW_NS (100 * 1000)
/* Threads whose bursts are remembered; a collision begins another burst. */
#define COMPANION_BURSTS 32
/* Trust is lost after 2^this uses at most without a miss. */
#define COMPANION_TRUST_MAX 5

/* How sure it is that an event follows; see trust_use(). */
typedef struct CompanionTrust {
    uint8_t score;
    uint8_t left;               /* uses until it must be seen               */
    bool seen;                  /* since the last use                       */
} CompanionTrust;

typedef struct Companion {
    uint32_t page;              /* larger page numbers are not remembered   */
    CompanionTrust trust;
    bool write;                 /* missed, or soon written, to write it     */
} Companion;

typedef struct CompanionSet {
    uint32_t page;
    bool taken;
    uint8_t n;
    CompanionTrust written;     /* it is written soon after it was read     */
    Companion companion[COMPANIONS_MAX];
} CompanionSet;

typedef struct CompanionMiss {
    int64_t cpu_ns;             /* the thread's CPU time                    */
    uint32_t page;
    bool write;
} CompanionMiss;

/* Misses of one thread that follow each other. */
typedef struct CompanionBurst {
    uint32_t tid;
    unsigned n;
    CompanionMiss miss[COMPANION_MISSES];       /* the latest last          */
} CompanionBurst;

typedef struct Companions {
    CompanionSet *set;          /* by page; a collision forgets             */
    CompanionBurst burst[COMPANION_BURSTS];     /* by thread                */
} Companions;

void companions_init(Companions *companions);
void companions_free(Companions *companions);
/*
 * Thread @tid misses @page, to write it or to read it, after @cpu_ns of CPU
 * time.  Not by a clock: where every CPU is busy a thread whose page has come
 * may wait for a CPU longer than it runs.
 */
void companions_missed(Companions *companions, CohPage page, bool write,
                       uint32_t tid, int64_t cpu_ns);
/* A thread reads @page, which is absent: will it write it soon? */
bool companions_will_write(Companions *companions, CohPage page);
/*
 * Pages to prefetch with @page, which is missed now: up to COMPANIONS_MAX
 * at @found; how many.
 */
unsigned companions_take(Companions *companions, CohPage page,
                         Companion *found);

#endif
