/*
 * distkvm: the engine's configuration, listener and counters
 *
 * EngineListener is the node around the engine, EngineConfig is constant once
 * the engine has started, and each counter of EngineStats is written by the
 * threads of the lanes, each its own copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_CONFIG_H
#define DISTKVM_ENGINE_CONFIG_H

#include "accel/distkvm/core/cluster-map.h"
#include "accel/distkvm/core/coh-node.h"
#include "accel/distkvm/memory/lanes.h"
#include "accel/distkvm/wire/wire.h"

/* engine.h */
typedef struct Engine Engine;

/* Called by a lane's thread; must not block or take the BQL. */
typedef struct EngineListener {
    /* A frame that is not of the coherence protocol; valid for the call. */
    void (*frame)(void *opaque, const WireFrame *frame);
    /* @peer is to be expelled: it sent nonsense, or keeps a page; @why. */
    void (*lost)(void *opaque, CohNodeId peer, const char *why);
    /*
     * A stream or endpoint to @peer has ended, because of @why: perhaps it is
     * leaving in good order.
     */
    void (*closed)(void *opaque, CohNodeId peer, const char *why);
    /*
     * @page has just left this node, before anyone else may write to it; or
     * another node has just had a word of it changed.
     */
    void (*revoked)(void *opaque, CohPage page);
    /* Is thread @tid idle, as a vCPU that is halted?  NULL: none is. */
    bool (*is_idle)(void *opaque, uint32_t tid);
    /*
     * May thread @tid be bound to one CPU while it waits, and a little longer?
     * Not one that creates threads: they would be bound for ever.  NULL: none.
     */
    bool (*may_bind)(void *opaque, uint32_t tid);
    /* Resets of the guest so far; NULL: always 0. */
    uint32_t (*epoch)(void *opaque);
    /* This node cannot go on, because of @why. */
    void (*broken)(void *opaque, const char *why);
} EngineListener;

/* Pages by which a cap may be exceeded for a moment. */
#define ENGINE_CAP_SLACK 256

typedef struct EngineConfig {
    CohNodeId id;
    /* Processes that had this id before; 0, as no id is used again. */
    unsigned incarnation;
    const ClusterMap *map;  /* the cluster's                                */
    int64_t hold_ns;    /* a page stays this long after its installation    */
    int64_t spin_ns;    /* look for work this long before sleeping          */
    bool affinity;      /* run where this node's threads fault              */
    Lanes lanes;        /* the same on all nodes                            */
    unsigned readahead; /* pages prefetched for a stream at most; 0: none   */
    bool companions;    /* prefetch pages that were missed together         */
    bool walks_write;   /* page tables that are walked count as written     */
    /* At the start; engine_set_cap() changes them. */
    unsigned delta_pages;   /* snapshots to send differences against        */
    /* Guest pages on this node at most, but for the slack; 0: any number. */
    uint64_t cap_pages;
} EngineConfig;

/* Kinds of bytes that are sent, each with the heads of its frames. */
typedef enum EngineBytes {
    ENGINE_BYTES_PAGES,         /* whole pages                              */
    ENGINE_BYTES_BLOCKS,        /* pages of which some blocks go            */
    ENGINE_BYTES_OPERATIONS,    /* operations on words and bytes            */
    ENGINE_BYTES_PROTOCOL,      /* other frames about pages                 */
    ENGINE_BYTES_SERVICES,      /* device accesses, interrupts, pings, ...  */
    ENGINE_BYTES__MAX
} EngineBytes;

/* Kinds of waits, by the access that a thread makes. */
typedef enum EngineWait {
    ENGINE_WAIT_READ,
    ENGINE_WAIT_WRITE,
    ENGINE_WAIT_UPGRADE,
    ENGINE_WAIT__MAX
} EngineWait;

/*
 * Buckets of a histogram of waits.  The first has those below 1 us, bucket n
 * those from 2^(n-1) to 2^n us, and the last also all that are longer: 4 s.
 */
#define ENGINE_WAIT_BUCKETS 24

typedef struct EngineStats {
    uint64_t pages_resident, pages_owned, pages_home;
    uint64_t faults_read, faults_write, faults_upgrade, faults_local;
    uint64_t frames_sent, frames_received, bytes_sent, bytes_received;
    uint64_t pages_sent, zero_pages_sent, invalidations;
    uint64_t delta_pages_sent, delta_bytes_saved;
    uint64_t readahead_pages, unchanged_pages_sent, operations;
    /* By operations that this node did as the owner, for any node. */
    uint64_t bytes_got_here, bytes_put_here;
    /* Of a put that came to this node as the home, and went on to the owner. */
    uint64_t bytes_forwarded;
    uint64_t pages_resident_max, evictions_asked, faults_deferred;
    /* Sums over faults, in ns from read to installed, by kind as above. */
    uint64_t wait_read_ns, wait_write_ns, wait_upgrade_ns;
    uint64_t waits[ENGINE_WAIT__MAX][ENGINE_WAIT_BUCKETS];
    uint64_t sent_by_type[COH_EV__MAX];
    uint64_t sent_by_kind[ENGINE_BYTES__MAX];       /* of bytes_sent        */
} EngineStats;

#define ENGINE_HOT_MAX 20

typedef struct EngineHotPage {
    CohPage page;
    unsigned faults;    /* that needed another node; stops at UINT16_MAX    */
} EngineHotPage;

#endif
