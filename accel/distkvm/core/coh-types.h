/*
 * distkvm: the words of the coherence protocol
 *
 * Page numbers, node ids, node sets and limits.  Depends on nothing.
 * Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef COH_TYPES_H
#define COH_TYPES_H

/*
 * Nodes of one cluster (docs/limits.rst), a multiple of 64.  The simulator
 * compiles the core with more, which a directory entry of QEMU need not hold.
 */
#ifndef COH_NODES_MAX
#define COH_NODES_MAX 64
#endif
#define COH_NODE_NONE 0xffff

#define COH_PAGE_BITS 12
#define COH_PAGE_SIZE (1u << COH_PAGE_BITS)

/* Index of a 4 KiB page of coherent guest RAM, counted by RAM offset. */
typedef uint64_t CohPage;

#define COH_PAGE_NONE UINT64_MAX

/* 0 <= id < COH_NODES_MAX, or COH_NODE_NONE. */
typedef uint16_t CohNodeId;

#define COH_SET_WORDS (COH_NODES_MAX / 64)

typedef struct CohNodeSet {
    uint64_t word[COH_SET_WORDS];
} CohNodeSet;

static inline CohNodeSet coh_set_empty(void)
{
    return (CohNodeSet) { { 0 } };
}

/* Within the set for any number, also for one that is no node's. */
static inline unsigned coh_set_word(CohNodeId node)
{
    return node / 64 % COH_SET_WORDS;
}

static inline void coh_set_add(CohNodeSet *set, CohNodeId node)
{
    set->word[coh_set_word(node)] |= UINT64_C(1) << node % 64;
}

static inline void coh_set_remove(CohNodeSet *set, CohNodeId node)
{
    set->word[coh_set_word(node)] &= ~(UINT64_C(1) << node % 64);
}

static inline CohNodeSet coh_set_one(CohNodeId node)
{
    CohNodeSet set = coh_set_empty();

    coh_set_add(&set, node);
    return set;
}

static inline bool coh_set_has(const CohNodeSet *set, CohNodeId node)
{
    return (set->word[coh_set_word(node)] >> node % 64) & 1;
}

static inline int coh_set_count(const CohNodeSet *set)
{
    int count = 0;

    for (int w = 0; w < COH_SET_WORDS; w++) {
        /* Most words of a large set are empty, and counting is slow. */
        count += set->word[w] ? __builtin_popcountll(set->word[w]) : 0;
    }
    return count;
}

/* Lowest member that is not below @from, or COH_NODE_NONE. */
static inline CohNodeId coh_set_next(const CohNodeSet *set, unsigned from)
{
    uint64_t above = ~UINT64_C(0) << from % 64;

    for (unsigned w = from / 64; w < COH_SET_WORDS; w++) {
        if (set->word[w] & above) {
            return w * 64 + __builtin_ctzll(set->word[w] & above);
        }
        above = ~UINT64_C(0);
    }
    return COH_NODE_NONE;
}

/* For each member of @set, a pointer, in order. */
#define COH_SET_FOREACH(node, set) \
    for ((node) = coh_set_next(set, 0); (node) != COH_NODE_NONE; \
         (node) = coh_set_next(set, (node) + 1))

/* Are all members of @part in @set? */
static inline bool coh_set_has_all(const CohNodeSet *set,
                                   const CohNodeSet *part)
{
    for (int w = 0; w < COH_SET_WORDS; w++) {
        if (part->word[w] & ~set->word[w]) {
            return false;
        }
    }
    return true;
}

static inline bool coh_set_is_empty(const CohNodeSet *set)
{
    return coh_set_next(set, 0) == COH_NODE_NONE;
}

/* Is @node its only member? */
static inline bool coh_set_is_only(const CohNodeSet *set, CohNodeId node)
{
    return coh_set_next(set, 0) == node &&
           coh_set_next(set, node + 1) == COH_NODE_NONE;
}

/*
 * One member of @set, spread by @seed so that one sharer does not serve
 * every reader; @set must not be empty.
 */
static inline CohNodeId coh_set_pick(const CohNodeSet *set, uint64_t seed)
{
    int skip = seed % coh_set_count(set);
    const uint64_t *word = set->word;
    uint64_t left;

    while (skip >= __builtin_popcountll(*word)) {
        skip -= __builtin_popcountll(*word++);
    }
    left = *word;
    while (skip--) {
        left &= left - 1;
    }
    return (word - set->word) * 64 + __builtin_ctzll(left);
}

#endif
