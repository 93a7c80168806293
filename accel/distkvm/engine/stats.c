/*
 * distkvm: sums of the lanes' counters, and the memory of tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "stats.h"

void stats_add(EngineStats *sum, const EngineStats *lane)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)lane;

    QEMU_BUILD_BUG_ON(sizeof(*sum) % sizeof(*to));
    /* Each counter is written by one thread. */
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
        to[i] += qatomic_read(&from[i]);
    }
}

uint64_t stats_resident_bytes(const void *table, size_t bytes)
{
    size_t page = qemu_real_host_page_size();
    /* Whole host pages within the table. */
    uintptr_t first = ROUND_UP((uintptr_t)table, page);
    uintptr_t end = ROUND_DOWN((uintptr_t)table + bytes, page);
    g_autofree unsigned char *in = NULL;
    uint64_t sum = 0;

    if (end <= first) {
        return bytes;
    }
    in = g_malloc((end - first) / page);
    if (mincore((void *)first, end - first, in)) {
        return bytes;
    }
    for (size_t i = 0; i < (end - first) / page; i++) {
        sum += in[i] & 1 ? page : 0;
    }
    return sum;
}
