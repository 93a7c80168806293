/*
 * distkvm: only the blocks that changed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "delta.h"

#define COUNTER_BITS (64 - DELTA_AUTHOR_BITS - DELTA_INCARNATION_BITS)

typedef struct Snapshot {
    CohPage page;
    uint64_t version;       /* 0: the slot is free                          */
    bool pinned;
    uint8_t data[COH_PAGE_SIZE];
} Snapshot;

struct Delta {
    uint64_t name;          /* of author and incarnation                    */
    uint64_t counter;
    unsigned slots;         /* atomic for other threads                     */
    unsigned used;          /* atomic; slots that are allocated             */
    Snapshot **slot;        /* allocated when first used                    */
    /*
     * Of a resize to .refused slots that failed: pinned, and of one slot.
     * The first is NULL if there is no slot, the second if none has failed.
     */
    Snapshot *in_way[2];
    unsigned refused;
    unsigned walks;         /* resizes that looked at all snapshots         */
};

static const uint8_t zeroes[COH_PAGE_SIZE];

Delta *delta_new(unsigned author, unsigned incarnation, unsigned slots)
{
    Delta *d = g_new0(Delta, 1);

    /* One that wraps would give contents of two processes one version. */
    g_assert(incarnation < 1u << DELTA_INCARNATION_BITS);
    /* From 1: every node has version 0. */
    d->name = (uint64_t)(author + 1) << DELTA_INCARNATION_BITS | incarnation;
    d->slots = slots;
    d->slot = g_new0(Snapshot *, slots);
    return d;
}

void delta_free(Delta *d)
{
    for (unsigned i = 0; i < d->slots; i++) {
        g_free(d->slot[i]);
    }
    g_free(d->slot);
    g_free(d);
}

size_t delta_bytes(const Delta *d)
{
    return __atomic_load_n(&d->slots, __ATOMIC_RELAXED) * sizeof(*d->slot) +
           __atomic_load_n(&d->used, __ATOMIC_RELAXED) * sizeof(Snapshot);
}

/* Put @s into a table of @slots; false if its slot is taken, or there is none. */
static bool put(Snapshot **slot, unsigned slots, Snapshot *s)
{
    if (!slots || slot[s->page % slots]) {
        return false;
    }
    slot[s->page % slots] = s;
    return true;
}

bool delta_resize(Delta *d, unsigned slots)
{
    g_autofree Snapshot **slot = NULL;

    /* Asked again in each pass of the thread that serves faults. */
    if (d->in_way[1] && d->refused == slots) {
        return false;
    }
    d->in_way[1] = NULL;
    d->walks++;
    slot = g_new0(Snapshot *, slots);
    for (unsigned i = 0; i < d->slots; i++) {
        Snapshot *s = d->slot[i];

        if (s && s->pinned && !put(slot, slots, s)) {
            d->in_way[0] = slots ? slot[s->page % slots] : NULL;
            d->in_way[1] = s;
            d->refused = slots;
            return false;
        }
    }
    for (unsigned i = 0; i < d->slots; i++) {
        Snapshot *s = d->slot[i];

        if (s && !s->pinned && !put(slot, slots, s)) {
            g_free(s);
            __atomic_fetch_sub(&d->used, 1, __ATOMIC_RELAXED);
        }
    }
    g_free(d->slot);
    d->slot = g_steal_pointer(&slot);
    __atomic_store_n(&d->slots, slots, __ATOMIC_RELAXED);
    return true;
}

unsigned delta_walks(const Delta *d)
{
    return d->walks;
}

static Snapshot *find(const Delta *d, CohPage page)
{
    Snapshot *s = d->slots ? d->slot[page % d->slots] : NULL;

    return s && s->version && s->page == page ? s : NULL;
}

uint64_t delta_new_version(Delta *d)
{
    return d->counter >> COUNTER_BITS ? DELTA_ZERO_VERSION
           : d->name << COUNTER_BITS | d->counter++;
}

uint64_t delta_version(const Delta *d, CohPage page)
{
    const Snapshot *s = find(d, page);

    return s ? s->version : DELTA_ZERO_VERSION;
}

bool delta_is_same(const Delta *d, CohPage page, const void *data)
{
    const Snapshot *s = find(d, page);

    return s && s->version && !memcmp(s->data, data, COH_PAGE_SIZE);
}

uint64_t delta_pin(Delta *d, CohPage page)
{
    Snapshot *s = find(d, page);

    if (!s) {
        return DELTA_ZERO_VERSION;
    }
    s->pinned = true;
    return s->version;
}

void delta_unpin(Delta *d, CohPage page)
{
    Snapshot *s = find(d, page);

    if (s) {
        s->pinned = false;
        if (s == d->in_way[0] || s == d->in_way[1]) {
            d->in_way[1] = NULL;
        }
    }
}

void delta_store(Delta *d, CohPage page, uint64_t version, const void *data)
{
    Snapshot **slot, *s;

    if (!d->slots) {
        return;
    }
    slot = &d->slot[page % d->slots];
    s = *slot;
    if (s && s->pinned) {
        return;
    }
    if (!s) {
        s = *slot = g_new(Snapshot, 1);
        __atomic_fetch_add(&d->used, 1, __ATOMIC_RELAXED);
        s->pinned = false;
    }
    s->page = page;
    s->version = version;
    if (version) {
        memcpy(s->data, data, COH_PAGE_SIZE);
    }
}

static size_t differences(const uint8_t *base, const uint8_t *data,
                          uint64_t version, uint8_t *out)
{
    uint8_t *at = out + DELTA_HEAD;
    uint64_t map = 0;

    for (unsigned i = 0; i < DELTA_BLOCKS; i++) {
        unsigned from = i * DELTA_BLOCK;

        if (memcmp(base + from, data + from, DELTA_BLOCK)) {
            map |= UINT64_C(1) << i;
        }
    }
    /* Most pages differ in all: nothing is copied for them. */
    if (DELTA_HEAD + (size_t)__builtin_popcountll(map) * DELTA_BLOCK >
        DELTA_BYTES_MAX) {
        return 0;
    }
    for (unsigned i = 0; i < DELTA_BLOCKS; i++) {
        if (map >> i & 1) {
            memcpy(at, data + i * DELTA_BLOCK, DELTA_BLOCK);
            at += DELTA_BLOCK;
        }
    }
    version = GUINT64_TO_LE(version);
    map = GUINT64_TO_LE(map);
    memcpy(out, &version, sizeof(version));
    memcpy(out + sizeof(version), &map, sizeof(map));
    return at - out;
}

size_t delta_encode(const Delta *d, CohPage page, uint64_t have,
                    const void *data, uint8_t out[DELTA_BYTES_MAX])
{
    const Snapshot *s = find(d, page);
    size_t len = 0;

    if (!d->slots) {
        return 0;
    }
    if (s && have && s->version == have) {
        len = differences(s->data, data, have, out);
    }
    return len ?: differences(zeroes, data, DELTA_ZERO_VERSION, out);
}

bool delta_decode(const Delta *d, CohPage page, const void *in, size_t len,
                  uint8_t out[COH_PAGE_SIZE])
{
    const uint8_t *at = (const uint8_t *)in + DELTA_HEAD;
    const Snapshot *s = find(d, page);
    uint64_t version, map;

    if (len < DELTA_HEAD) {
        return false;
    }
    memcpy(&version, in, sizeof(version));
    memcpy(&map, (const uint8_t *)in + sizeof(version), sizeof(map));
    version = GUINT64_FROM_LE(version);
    map = GUINT64_FROM_LE(map);
    if (len != DELTA_HEAD + (size_t)__builtin_popcountll(map) * DELTA_BLOCK ||
        (version && (!s || s->version != version))) {
        return false;
    }
    memcpy(out, version ? s->data : zeroes, COH_PAGE_SIZE);
    for (unsigned i = 0; i < DELTA_BLOCKS; i++) {
        if (map >> i & 1) {
            memcpy(out + i * DELTA_BLOCK, at, DELTA_BLOCK);
            at += DELTA_BLOCK;
        }
    }
    return true;
}
