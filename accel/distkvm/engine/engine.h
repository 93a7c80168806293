/*
 * distkvm: the engine, where the protocol meets the world
 *
 * Turns faults, frames and completions into events, steps the protocol,
 * performs its actions.  One thread for each lane of pages (memory/lanes.h).
 * Lanes share nothing but tables, of which each uses its own entries.  None
 * takes the BQL or waits for a peer.  Frames of class B (interrupts, I/O) pass
 * through lane 0 to a listener.  This is all that other folders see of the
 * engine.  Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_H
#define DISTKVM_ENGINE_H

#include "accel/distkvm/memory/mem.h"
#include "accel/distkvm/wire/transport.h"
#include "config.h"
#include "engine-request.h"

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
 * A thread has become idle: pages held for it (hold.h) may go.  To be called
 * after a full barrier behind the store that the listener's is_idle() reads.
 * Any thread, never waits.
 */
void engine_thread_idle(Engine *e);

/*
 * Ask @peer on every lane for an answer, with a page of payload.  Any thread;
 * never waits.
 */
void engine_ping(Engine *e, CohNodeId peer);
/* When @peer last answered on @lane, in ns of CLOCK_BOOTTIME; 0: never. */
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
 * Make @peer reachable.  By address: on all lanes, whose addresses @peer has
 * as engine_address() gives them.  By stream: on @lane.
 */
bool engine_connect(Engine *e, const TransportPeer *peer, Error **errp);
bool engine_connect_lane(Engine *e, unsigned lane, const TransportPeer *peer,
                         Error **errp);
void engine_disconnect(Engine *e, CohNodeId peer);
/* All peers are connected: faults on pages of other homes may be served. */
void engine_joined(Engine *e);
/*
 * Give back the pages that were touched before that; @restore: write their
 * contents again, which waits for the pages' homes.  Main loop, before the
 * guest starts.
 */
void engine_settle_prejoin(Engine *e, bool restore);
/*
 * Until engine_unpin() owned pages stay, and other nodes operate neither on
 * @first nor on @second, which may be one page.  Only one node may pin at a
 * time.
 */
void engine_pin(Engine *e, CohPage first, CohPage second);
void engine_unpin(Engine *e);
/* Where @page is in this process.  Any thread. */
void *engine_host(Engine *e, CohPage page);
/* Byte of coherent RAM at @host; false if there is none.  Any thread. */
bool engine_find(Engine *e, const void *host, uint64_t *addr);
/*
 * A node is lost: release all threads that wait for pages, serve no node.  If
 * a lane's thread does not act on it within a second, all memory is released
 * from outside, and threads that wait for a call of the engine go on within
 * another second.
 */
void engine_fail(Engine *e);
/*
 * The transport addresses of all lanes; NULL if peers bring streams.  Valid
 * until engine_set_transport() or engine_free().
 */
const void *engine_address(Engine *e, size_t *len);
/* The way to @peer, as of its connection; g_free.  Any thread. */
char *engine_describe_peer(Engine *e, CohNodeId peer);
/*
 * Keep to @cap_pages guest pages, this node's share and more (0: any number),
 * and to @snapshots from now on.  One thread only; never waits.
 */
void engine_set_cap(Engine *e, uint64_t cap_pages, unsigned snapshots);
/* Guest pages that are present beyond that cap: 0 when it is reached. */
uint64_t engine_excess_pages(Engine *e);
void engine_stats(Engine *e, EngineStats *stats);

/* Memory of this node's own; as of now. */
typedef struct EngineSize {
    uint64_t home_bytes;        /* directory of the pages it is home of     */
    uint64_t page_bytes;        /* states of all pages, and their faults    */
    uint64_t snapshot_bytes;
} EngineSize;

void engine_size(Engine *e, EngineSize *size);

/* Guest pages of this node in some stretches. */
typedef struct EnginePages {
    uint32_t present;
    uint32_t owned;             /* those of them that it may write to       */
} EnginePages;

/*
 * Of the @n stretches of RAM from @first on, all of the map; the two counts may
 * be of moments apart.  Any thread; never waits for the engine.
 */
EnginePages engine_pages(Engine *e, uint64_t first, uint64_t n);

/*
 * The @max pages with most faults, most first, ENGINE_HOT_MAX at most; how
 * many there are.  Any thread; never waits for the engine.
 */
unsigned engine_hot_pages(Engine *e, EngineHotPage *hot, unsigned max);

#endif
