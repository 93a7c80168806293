/*
 * Code generations: translations of pages whose bytes may change behind TCG
 *
 * An accelerator that takes pages away from this process raises the
 * generation of a page when it does; translations made before are stale.
 * Without such an accelerator there are no generations and nothing is stale.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef EXEC_CODE_GENERATION_H
#define EXEC_CODE_GENERATION_H

#include "exec/target_page.h"
#include "qemu/atomic.h"

/* The page has been translated from since the generation was raised. */
#define CODE_GENERATION_USED 1u
/* Worn out: never equal to a generation that a translation remembers. */
#define CODE_GENERATION_NEVER UINT32_MAX

typedef struct CodeGenerations {
    uint64_t pages;     /* 0 without such an accelerator */
    uint32_t *of;       /* by ram_addr, in pages; atomic */
} CodeGenerations;

extern CodeGenerations code_generations;

static inline uint32_t code_generation_next(uint32_t old)
{
    uint32_t next = (old & ~CODE_GENERATION_USED) + 2;

    /* Never wraps: the last one is for ever. */
    return next == (CODE_GENERATION_NEVER & ~CODE_GENERATION_USED)
           ? CODE_GENERATION_NEVER : next;
}

/* Before the bytes at @addr (a ram_addr_t or -1) are read for translation. */
static inline uint32_t code_generation_use(uint64_t addr)
{
    uint64_t page = addr >> TARGET_PAGE_BITS;

    if (likely(page >= code_generations.pages)) {
        return 0;
    }
    /* A full barrier: the bytes are read after this. */
    return qatomic_fetch_or(&code_generations.of[page],
                            CODE_GENERATION_USED) | CODE_GENERATION_USED;
}

/* Is a translation that remembers @used of @addr outdated? */
static inline bool code_generation_stale(uint64_t addr, uint32_t used)
{
    uint64_t page = addr >> TARGET_PAGE_BITS;
    uint32_t now;

    if (likely(page >= code_generations.pages)) {
        return false;
    }
    now = qatomic_read(&code_generations.of[page]);
    return now != used || now == CODE_GENERATION_NEVER;
}

#endif
