/*
 * distkvm: the engine's insides, shared by engine.c and executor.c
 *
 * engine.c moves bytes and threads; executor.c performs what the protocol
 * says.  Fields are the engine thread's unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_INTERNAL_H
#define DISTKVM_ENGINE_INTERNAL_H

#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/event_notifier.h"
#include "engine.h"
#include "accel/distkvm/core/coh-table.h"
#include "alive.h"
#include "deliver.h"
#include "fault.h"
#include "mailbox.h"

/* One lane.  Lane 0 is what others know as the engine. */
struct Lane {
    EngineConfig config;                /* lane 0 only */
    CohNode node;                       /* lane 0 only */
    LaneCtx ctx;
    struct Lane *front;               /* lane 0 */
    struct Lane *all[LANES_MAX];      /* lane 0 only */
    size_t address_len;                 /* of this lane's part; 0: streams */
    GByteArray *address;                /* lane 0 only: of all; or NULL */
    char *path[COH_NODES_MAX];          /* lane 0 only, under lock */

    QemuThread thread;
    bool stop;                  /* atomic */

    Mailbox mailbox;
    Outbox outbox;
    QemuMutex lock;             /* path */
    Alive alive;
    Late late;

    CohNodeSet expelled;        /* nothing is taken from them */
    GHashTable *wishes;         /* page -> GQueue of EngineWish */
    uint64_t wish_id;
    int64_t wish_due_ns;
    bool pursuing;
    Hold hold;
    Affinity affinity;
    Faults faults;
    Heat heat;
    Prefetch prefetch;
    Pagewalk pagewalk;
    Codec codec;
    Deliver deliver;
    Evict evict;
    uint8_t *evict_flags;       /* lane 0 only */
    Executor executor;
    Prejoin prejoin;
    Preprotect preprotect;
    Stalled stalled;
    Waiters waiters;
    Wakeup wakeup;
    uint16_t *page_faults;      /* lane 0 only: heat.h */
};

static inline Engine *engine_of(Engine *e, CohPage page)
{
    return e->all[lane_of(&e->ctx.config->lanes, page)];
}

/* @front: lane 0, whose tables all use. */
void engine_coh_init(Engine *e, Engine *front);
void engine_coh_free(Engine *e);
/* connect.c: from all lanes, for engine_address(). */
void engine_collect_addresses(Engine *e);
extern const PageHooks request_hooks;
/* Events sent to itself; true if there were any. */
bool engine_run_local(Engine *e);
/* request.c: @page has moved: what is wished of it may be possible. */
void engine_pursue_wishes(Engine *e, CohPage page);
/* Wishes that are to be tried again; true if there were any. */
bool engine_run_wishes(Engine *e);
void engine_wishes_unpinned(Engine *e);
void engine_wishes_fail(Engine *e);

extern const TransportListener engine_transport_listener;

#endif
