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

/* Nodes of one cluster.  A node set is one machine word (docs/limits.rst). */
#define COH_NODES_MAX 64
#define COH_NODE_NONE 0xffff

#define COH_PAGE_BITS 12
#define COH_PAGE_SIZE (1u << COH_PAGE_BITS)

/* Index of a 4 KiB page of coherent guest RAM, counted by RAM offset. */
typedef uint64_t CohPage;

/* 0 <= id < COH_NODES_MAX, or COH_NODE_NONE. */
typedef uint16_t CohNodeId;

typedef uint64_t CohNodeSet;

static inline CohNodeSet coh_set_one(CohNodeId node)
{
    return UINT64_C(1) << node;
}

static inline bool coh_set_has(CohNodeSet set, CohNodeId node)
{
    return (set >> node) & 1;
}

static inline int coh_set_count(CohNodeSet set)
{
    return __builtin_popcountll(set);
}

/* Lowest member; @set must not be empty. */
static inline CohNodeId coh_set_first(CohNodeSet set)
{
    return __builtin_ctzll(set);
}

/*
 * One member of @set, spread by @seed so that one sharer does not serve
 * every reader; @set must not be empty.
 */
static inline CohNodeId coh_set_pick(CohNodeSet set, uint64_t seed)
{
    int skip = seed % coh_set_count(set);

    while (skip--) {
        set &= set - 1;
    }
    return coh_set_first(set);
}

#endif
