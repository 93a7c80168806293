/*
 * distkvm: pages that are missed together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "companion.h"

/* Seen three times in a row. */
#define TRUSTED 3

void companions_init(Companions *companions)
{
    memset(companions, 0, sizeof(*companions));
    companions->set = g_new0(CompanionSet, COMPANION_SETS);
}

void companions_free(Companions *companions)
{
    g_free(companions->set);
}

/* ------------------------------------------------------------------- trust */

static void trust_seen(CompanionTrust *trust)
{
    if (!trust->seen && trust->score < TRUSTED) {
        trust->score++;
        trust->left = 1 << trust->score;
    }
    trust->seen = true;
}

/*
 * The first event happens again: true if the second is to be taken for granted.
 * Untrusted, the second must be seen each time; trusted, each time that it was
 * not taken for granted.
 */
static bool trust_use(CompanionTrust *trust)
{
    bool seen = trust->seen;

    trust->seen = false;
    if (trust->score < TRUSTED) {
        trust->score = seen ? trust->score : 0;
        return false;
    }
    if (trust->left) {
        /* The last is left out. */
        return --trust->left;
    }
    if (!seen) {
        trust->score = 0;
        return false;
    }
    trust->score = MIN(trust->score + 1, COMPANION_TRUST_MAX);
    trust->left = 1 << trust->score;
    return true;
}

/* -------------------------------------------------------------------- sets */

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

/* The companion of @set that is @page; a new one if there is room; or NULL. */
static Companion *companion_of(CompanionSet *set, uint32_t page)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (set->companion[i].page == page) {
            return &set->companion[i];
        }
    }
    if (set->n == COMPANIONS_MAX) {
        return NULL;
    }
    set->companion[set->n] = (Companion) { .page = page };
    return &set->companion[set->n++];
}

static void add_companion(CompanionSet *set, const CompanionMiss *miss)
{
    Companion *companion = companion_of(set, miss->page);

    if (companion) {
        companion->write = miss->write;
        trust_seen(&companion->trust);
    }
}

/* ------------------------------------------------------------------ bursts */

/* An upgrade that follows a read of the same page belongs to that miss. */
static bool note_upgrade(Companions *companions, const CompanionBurst *burst,
                         uint32_t page)
{
    for (unsigned i = 0; i < burst->n; i++) {
        if (burst->miss[i].page == page && !burst->miss[i].write) {
            trust_seen(&make_set(companions, page)->written);
            return true;
        }
    }
    return false;
}

static CompanionBurst *burst_of(Companions *companions, uint32_t tid,
                                int64_t cpu_ns)
{
    CompanionBurst *burst = &companions->burst[tid % COMPANION_BURSTS];

    if (burst->tid != tid || !burst->n ||
        cpu_ns - burst->miss[burst->n - 1].cpu_ns > COMPANION_WINDOW_NS) {
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
                       uint32_t tid, int64_t cpu_ns)
{
    const CompanionMiss miss = {
        .cpu_ns = cpu_ns, .page = page, .write = write,
    };
    CompanionBurst *burst;
    bool again;

    if (page > UINT32_MAX) {
        return;
    }
    burst = burst_of(companions, tid, cpu_ns);
    again = write && note_upgrade(companions, burst, page);
    for (unsigned i = 0; i < burst->n; i++) {
        const CompanionMiss *m = &burst->miss[i];

        if (m->page != page && cpu_ns - m->cpu_ns < COMPANION_WINDOW_NS) {
            add_companion(make_set(companions, m->page), &miss);
        }
    }
    if (!again) {
        add_miss(burst, &miss);
    }
}

/* --------------------------------------------------------------- prediction */

bool companions_will_write(Companions *companions, CohPage page)
{
    CompanionSet *set = find_set(companions, page);

    return set && trust_use(&set->written);
}

unsigned companions_take(Companions *companions, CohPage page,
                         Companion *found)
{
    CompanionSet *set = find_set(companions, page);
    unsigned kept = 0, n = 0;

    if (!set) {
        return 0;
    }
    for (unsigned i = 0; i < set->n; i++) {
        Companion *companion = &set->companion[i];

        if (trust_use(&companion->trust)) {
            found[n++] = *companion;
        }
        if (companion->trust.score) {
            set->companion[kept++] = *companion;
        }
    }
    set->n = kept;
    return n;
}
