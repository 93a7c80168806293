/*
 * distkvm: the engine, where the protocol meets the world
 *
 * Turns faults, frames and completions into events, steps the protocol,
 * performs its actions.  One thread for each lane of pages (memory/lanes.h).
 * Lanes share nothing but tables of which each uses its own part.  None takes
 * the BQL or waits for a peer.  Frames of class B (interrupts, I/O) pass through lane 0
 * to a listener.  Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_H
#define DISTKVM_ENGINE_H

#include "accel/distkvm/core/cluster-map.h"
#include "accel/distkvm/core/coh-node.h"
#include "accel/distkvm/wire/wire.h"
#include "accel/distkvm/memory/lanes.h"
#include "accel/distkvm/memory/mem.h"
#include "accel/distkvm/wire/transport.h"

typedef struct Engine Engine;

/* Called by the engine thread; must not block or take the BQL. */
typedef struct EngineListener {
    /* A frame that is not of the coherence protocol; valid for the call. */
    void (*frame)(void *opaque, const WireFrame *frame);
    /* @peer sent nonsense or keeps us waiting, because of @why. */
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
    /* Has thread @tid nothing to do, as a vCPU that halts?  May be NULL. */
    bool (*rests)(void *opaque, uint32_t tid);
    /*
     * May thread @tid be bound to one CPU while it waits, and a little longer?
     * Not one that creates threads: they would be bound for ever.  NULL: none.
     */
    bool (*may_keep)(void *opaque, uint32_t tid);
    /* This node cannot go on, because of @why. */
    void (*broken)(void *opaque, const char *why);
} EngineListener;

/* Pages by which a cap may be exceeded for a moment. */
#define ENGINE_CAP_SLACK 256

typedef struct EngineConfig {
    CohNodeId id;
    /* Processes that had this id before; 0, as no id is used again. */
    uint8_t incarnation;
    const ClusterMap *map;  /* the cluster's                                */
    int64_t hold_ns;    /* a page stays this long after its installation    */
    int64_t spin_ns;    /* look for work this long before sleeping          */
    bool follow;        /* run where this node's threads fault              */
    Lanes lanes;        /* the same on all nodes                            */
    unsigned readahead; /* pages that come along at most; 0: none           */
    bool walks_write;   /* page tables that are walked count as written     */
    unsigned delta_pages;   /* snapshots to send differences against        */
    /* Guest pages to hold at most, give or take the slack; 0: any number. */
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
    /* Sums over faults, from seen to installed, by kind as above. */
    uint64_t wait_read_ns, wait_write_ns, wait_upgrade_ns;
    uint64_t sent_by_type[COH_EV__MAX];
} EngineStats;

/* Takes over @mem, also when it fails.  Main thread. */
Engine *engine_new(const EngineConfig *config, Mem *mem,
                   TransportNew *transport_new,
                   const EngineListener *listener, void *opaque,
                   Error **errp);
void engine_start(Engine *e);
/* End the thread and free everything. */
void engine_free(Engine *e);

/*
 * Send @frame, with its payload, to @to (not this node).  Any thread, any
 * lock; never waits.  Stamps sender and time.
 */
void engine_post(Engine *e, CohNodeId to, const WireFrame *frame);
/*
 * A thread has come to rest: what it holds may go.  After a full barrier that
 * follows what the listener's rests() looks at.  Any thread, never waits.
 */
void engine_rests(Engine *e);

/*
 * Ask @peer on every lane for an answer, with a page of payload.  Any thread;
 * never waits.
 */
void engine_ping(Engine *e, CohNodeId peer);
/* As of when is @peer known to answer on @lane, in ns of CLOCK_BOOTTIME? */
int64_t engine_answered_ns(Engine *e, CohNodeId peer, unsigned lane);
/* Has @peer answered on all lanes, woken from sleep unless it never sleeps? */
bool engine_is_reached(Engine *e, CohNodeId peer);
/*
 * Look, in each lane's thread, for pages that have been awaited for longer
 * than @limit_ns; a peer that keeps one is lost.  One thread only, that of the
 * next, too; never waits.
 */
void engine_watch(Engine *e, int64_t limit_ns);
/* The first lane that has not begun to look within @limit_ns, or -1. */
int engine_hangs(Engine *e, int64_t limit_ns);

/*
 * The rest may be called by any thread but the engine's, and returns when the
 * engine has done it; the engine never waits for the caller's locks.
 */
/* Use other transports from now on; no peer may be connected. */
bool engine_set_transport(Engine *e, TransportNew *transport_new,
                          Error **errp);
/*
 * Make @peer reachable.  By address: on all lanes, whose addresses @peer holds
 * as engine_address() gives them.  By stream: on @lane.
 */
bool engine_connect(Engine *e, const TransportPeer *peer, Error **errp);
bool engine_connect_lane(Engine *e, unsigned lane, const TransportPeer *peer,
                         Error **errp);
void engine_disconnect(Engine *e, CohNodeId peer);
/* All peers are connected: faults on pages of other homes may be served. */
void engine_joined(Engine *e);
/*
 * Give back what was touched before that; @keep: write its contents again,
 * which waits for the pages' homes.  Main loop, before the guest starts.
 */
void engine_settle_early(Engine *e, bool keep);
/* While pinned, owned pages stay; only one node may pin at a time. */
void engine_pin(Engine *e, bool pin);
/*
 * Wait until this node holds @page, to read or to write it.  It may go again
 * at any time.  0 or -EIO: a node is lost.
 */
int engine_validate(Engine *e, CohPage page, bool write);
/*
 * The same for a range, which is asked for in as few messages as there are
 * homes (and a hundred pages each).  Pages of its beginning may have gone again
 * when it returns, if there are many.
 */
int engine_validate_range(Engine *e, CohPage first, unsigned pages,
                          bool write);
/* Do valid @op where the page is; *@old: what the word held.  0 or -EIO. */
int engine_operate(Engine *e, CohPage page, const CohOp *op, uint64_t *old);
/* Hold @page no more.  -EBUSY: its home wants it to stay, or this is it. */
int engine_give_up(Engine *e, CohPage page);
/* Does this node hold @page, to read or to write it?  As of now; any thread. */
bool engine_has(Engine *e, CohPage page, bool write);
/* Where @page is in this process.  Any thread. */
void *engine_host(Engine *e, CohPage page);
/*
 * A node is lost: release whoever waits for a page, serve nobody.  Lanes whose
 * threads do not act on it soon are released from outside.
 */
void engine_fail(Engine *e);
/*
 * The transport addresses of all lanes; NULL if peers bring streams.  Valid
 * until engine_set_transport() or engine_free().
 */
const void *engine_address(Engine *e, size_t *len);
/* The way to @peer, as of its connection; g_free.  Any thread. */
char *engine_describe_peer(Engine *e, CohNodeId peer);
void engine_stats(Engine *e, EngineStats *stats);

/* Memory of this node's own; as of now. */
typedef struct EngineSize {
    uint64_t home_bytes;        /* directory of the pages it is home of     */
    uint64_t page_bytes;        /* states of all pages, and their faults    */
    uint64_t snapshot_bytes;
} EngineSize;

void engine_size(Engine *e, EngineSize *size);

#define ENGINE_HOT_MAX 20

typedef struct EngineHotPage {
    CohPage page;
    unsigned faults;    /* that needed another node; stops at UINT16_MAX    */
} EngineHotPage;

/*
 * The @max pages with most faults, most first, ENGINE_HOT_MAX at most; how many
 * there are.  Any thread; never waits for the engine.
 */
unsigned engine_hot_pages(Engine *e, EngineHotPage *hot, unsigned max);

#endif
