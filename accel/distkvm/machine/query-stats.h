/*
 * distkvm: this node's counters as a provider of QEMU's query-stats
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_QUERY_STATS_H
#define DISTKVM_QUERY_STATS_H

/* Register the provider.  Main thread, once. */
void query_stats_init(void);

#endif
