/*
 * distkvm: pages that are missed together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "companion.h"

#define SCORE_MAX 3
/* Twice in a row, or twice of three times. */
#define SCORE_TRUSTED 2

void companions_init(Companions *companions)
{
    memset(companions, 0, sizeof(*companions));
    companions->set = g_new0(CompanionSet, COMPANION_SETS);
}

void companions_free(Companions *companions)
{
    g_free(companions->set);
}

static CompanionSet *set_of(const Companions *companions, CohPage page)
{
    /* Fibonacci hashing: pages of one structure are neighbours. */
    return &companions->set[(uint32_t)page * UINT32_C(2654435769) /
                            (UINT32_MAX / COMPANION_SETS + 1)];
}

static CompanionSet *find_set(const Companions *companions, CohPage page)
{
    CompanionSet *set = set_of(companions, page);

    return set->taken && set->page == page ? set : NULL;
}

static CompanionSet *make_set(Companions *companions, CohPage page)
{
    CompanionSet *set = set_of(companions, page);

    if (!set->taken || set->page != page) {
        *set = (CompanionSet) { .page = page, .taken = true };
    }
    return set;
}

static void raise_score(uint8_t *score)
{
    *score = MIN(*score + 1, SCORE_MAX);
}

static void lower_score(uint8_t *score)
{
    *score -= *score > 0;
}

/* The companion of @set that is @page, or the one to give way to it. */
static Companion *place_for(CompanionSet *set, uint32_t page)
{
    Companion *weakest = NULL;

    for (unsigned i = 0; i < set->n; i++) {
        Companion *c = &set->companion[i];

        if (c->page == page) {
            return c;
        }
        if (!weakest || c->score < weakest->score) {
            weakest = c;
        }
    }
    return set->n < COMPANIONS_MAX ? &set->companion[set->n++] : weakest;
}

static void add_companion(CompanionSet *set, const CompanionMiss *miss)
{
    Companion *c = place_for(set, miss->page);

    if (c->page == miss->page && c->score) {
        raise_score(&c->score);
        c->write = miss->write;
    } else if (c->score > 1) {
        lower_score(&c->score);
    } else {
        *c = (Companion) {
            .page = miss->page, .score = 1, .write = miss->write,
        };
    }
}

/* An upgrade that follows a read of the same page belongs to that miss. */
static bool note_upgrade(Companions *companions, const CompanionBurst *burst,
                         uint32_t page)
{
    for (unsigned i = 0; i < burst->n; i++) {
        if (burst->miss[i].page == page && !burst->miss[i].write) {
            raise_score(&make_set(companions, page)->written);
            return true;
        }
    }
    return false;
}

static CompanionBurst *burst_of(Companions *companions, uint32_t tid,
                                int64_t ran_ns)
{
    CompanionBurst *burst = &companions->burst[tid % COMPANION_BURSTS];

    if (burst->tid != tid || ran_ns > COMPANION_GAP_NS) {
        burst->tid = tid;
        burst->n = 0;
    }
    return burst;
}

static void add_miss(CompanionBurst *burst, const CompanionMiss *miss)
{
    if (burst->n == COMPANION_MISSES) {
        burst->n--;
        memmove(&burst->miss[0], &burst->miss[1],
                burst->n * sizeof(burst->miss[0]));
    }
    burst->miss[burst->n++] = *miss;
}

void companions_missed(Companions *companions, CohPage page, bool write,
                       uint32_t tid, int64_t ran_ns)
{
    const CompanionMiss miss = { .page = page, .write = write };
    CompanionBurst *burst;
    bool again;

    if (page > UINT32_MAX) {
        return;
    }
    burst = burst_of(companions, tid, ran_ns);
    again = write && note_upgrade(companions, burst, page);
    for (unsigned i = 0; i < burst->n; i++) {
        if (burst->miss[i].page != page) {
            add_companion(make_set(companions, burst->miss[i].page), &miss);
        }
    }
    if (!again) {
        add_miss(burst, &miss);
    }
}

bool companions_will_write(const Companions *companions, CohPage page)
{
    const CompanionSet *set = find_set(companions, page);

    return set && set->written >= SCORE_TRUSTED;
}

static void fade(CompanionSet *set)
{
    set->uses = 0;
    lower_score(&set->written);
    for (unsigned i = 0; i < set->n; i++) {
        lower_score(&set->companion[i].score);
    }
}

unsigned companions_take(Companions *companions, CohPage page,
                         Companion *found)
{
    CompanionSet *set = find_set(companions, page);
    unsigned n = 0;

    if (!set) {
        return 0;
    }
    for (unsigned i = 0; i < set->n; i++) {
        if (set->companion[i].score >= SCORE_TRUSTED) {
            found[n++] = set->companion[i];
        }
    }
    if (++set->uses == COMPANION_USES) {
        fade(set);
    }
    return n;
}
