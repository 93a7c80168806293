/*
 * distkvm: the options of a node, parsed
 *
 * Main thread, before the engine runs.  Each call fills in fields of @d; false
 * and @errp, with the option's name, if its text cannot be used.  One call is
 * for later, and says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CONFIG_H
#define DISTKVM_CONFIG_H

#include "node.h"

/* peers=@text, the addresses of all nodes, and node=@node, this one's place. */
bool distkvm_config_peers(DistKVM *d, const char *text, int64_t node,
                          Error **errp);
/* Are nodes reached by Unix sockets? */
bool distkvm_over_unix(const DistKVM *d);
/*
 * vcpus=@text, the vCPUs' first places as "a/b/c", @cpus in sum; NULL: even
 * shares.
 */
bool distkvm_config_vcpus(DistKVM *d, const char *text, unsigned cpus,
                          Error **errp);
/*
 * The first map of @bytes of RAM: mem=@text, "a/b/c" as sizes, @bytes in sum,
 * which are rounded to stretches; NULL: even shares.  cluster_map_free(); NULL
 * and @errp if the text cannot be used.
 */
ClusterMap *distkvm_config_map(const DistKVM *d, const char *text,
                               uint64_t bytes, Error **errp);
/* The same, as this node's RAM and map. */
bool distkvm_config_mem(DistKVM *d, const char *text, uint64_t bytes,
                        Error **errp);
/*
 * cap=@text, the RAM that this node may hold at most, as a size; NULL: its
 * share and a reserve if shares were given, else any amount.  After
 * distkvm_config_mem().
 */
bool distkvm_config_cap(DistKVM *d, const char *text, bool shares_given,
                        Error **errp);
/* How a cap is divided. */
typedef struct DistKVMCap {
    uint64_t guest_pages;       /* 0: any number */
    unsigned snapshots;         /* of pages */
} DistKVMCap;

/*
 * Divide a cap of @bytes, 0 for any amount.  False and @errp if it is less
 * than this node's share and a reserve.  Main thread, at any time after
 * distkvm_config_cap().
 */
bool distkvm_cap_divide(const DistKVM *d, uint64_t bytes, DistKVMCap *cap,
                        Error **errp);
/*
 * The VMI of a node without vmi=: the other accelerator of the command line,
 * "kvm" or "tcg"; "auto" if it names KVM and then TCG, "tcg" if it names
 * neither.
 */
const char *distkvm_config_default_vmi(void);
/* dma-policy=@text, a word of DistkvmDmaPolicy; NULL: auto. */
bool distkvm_config_dma(DistKVM *d, const char *text, Error **errp);
/*
 * lanes=@lanes of the engine, from 0 (as the guest's shape suggests) to
 * LANES_MAX; the same on all nodes.  After distkvm_config_mem().
 */
bool distkvm_config_lanes(DistKVM *d, int64_t lanes, Error **errp);

#endif
