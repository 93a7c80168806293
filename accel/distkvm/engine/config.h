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
    bool companions;    /* fetch pages along that were missed together      */
    bool walks_write;   /* page tables that are walked count as written     */
    unsigned delta_pages;   /* snapshots to send differences against        */
    /* Guest pages on this node at most, but for the slack; 0: any number. */
    uint64_t cap_pages;
} EngineConfig;

typedef struct EngineStats {
    uint64_t pages_resident, pages_owned, pages_home;
    uint64_t faults_read, faults_write, faults_upgrade, faults_local;
    uint64_t frames_sent, frames_received, bytes_sent, bytes_received;
    uint64_t pages_sent, zero_pages_sent, invalidations;
    uint64_t delta_pages_sent, delta_bytes_saved;
    uint64_t readahead_pages, unchanged_pages_sent, operations;
    uint64_t pages_resident_max, evictions_asked, faults_deferred;
    /* Sums over faults, in ns from read to installed, by kind as above. */
    uint64_t wait_read_ns, wait_write_ns, wait_upgrade_ns;
    uint64_t sent_by_type[COH_EV__MAX];
} EngineStats;

#define ENGINE_HOT_MAX 20

typedef struct EngineHotPage {
    CohPage page;
    unsigned faults;    /* that needed another node; stops at UINT16_MAX    */
} EngineHotPage;

#endif
