/*
 * distkvm: sums of the lanes' counters, and the memory of tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_STATS_H
#define DISTKVM_STATS_H

#include "config.h"

/* Add the counters of one lane, whose thread may run, to @sum. */
void stats_add(EngineStats *sum, const EngineStats *lane);
/*
 * Bytes of @table that the host has given memory to: a table is allocated for
 * all pages at once, but only where an entry was written it costs anything.
 */
uint64_t stats_resident_bytes(const void *table, size_t bytes);

#endif
