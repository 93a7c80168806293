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
 * What is fetched is not missed again, so nothing tells that it is still
 * wanted; therefore scores fade, and a companion is missed again from time to
 * time.  The lane's thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_COMPANION_H
#define DISTKVM_COMPANION_H

#include "accel/distkvm/core/coh-types.h"

/* Companions of one page; a set has 128 bytes. */
#define COMPANIONS_MAX 14
/* Pages whose companions are remembered. */
#define COMPANION_SETS 2048
/* Misses of a burst that the next one is a companion of. */
#define COMPANION_MISSES 16
/* A thread that ran this long without a miss begins another burst. */
#define COMPANION_GAP_NS (300 * 1000)
/* Threads whose bursts are remembered; a collision begins another burst. */
#define COMPANION_BURSTS 32
/* Misses of a page for which its companions keep their scores. */
#define COMPANION_USES 16

typedef struct Companion {
    uint32_t page;              /* larger page numbers are not remembered   */
    uint8_t score;
    bool write;                 /* missed, or soon written, to write it     */
} Companion;

typedef struct CompanionSet {
    uint32_t page;
    bool taken;
    uint8_t n, uses;
    uint8_t written;            /* score of: written soon after it was read */
    Companion companion[COMPANIONS_MAX];
} CompanionSet;

typedef struct CompanionMiss {
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
 * Thread @tid misses @page, to write it or to read it; @ran_ns ago it was
 * given the last page that it missed.
 */
void companions_missed(Companions *companions, CohPage page, bool write,
                       uint32_t tid, int64_t ran_ns);
/* Will a thread that reads @page now write it soon? */
bool companions_will_write(const Companions *companions, CohPage page);
/*
 * Pages to fetch along with @page, which is missed now: up to COMPANIONS_MAX
 * at @found; how many.
 */
unsigned companions_take(Companions *companions, CohPage page,
                         Companion *found);

#endif
