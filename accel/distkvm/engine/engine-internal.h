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
#include "accel/distkvm/memory/delta.h"
#include "affinity.h"
#include "frame-count.h"
#include "hold.h"
#include "pagewalk.h"

/* A frame on its way to the engine thread. */
typedef struct EnginePost {
    QSIMPLEQ_ENTRY(EnginePost) next;
    CohNodeId to;
    WireFrame frame;
    uint8_t payload[];
} EnginePost;

/*
 * A call on its way to the engine thread.  Its caller may wait for @done, and
 * may tire of it: so each of both holds a reference.
 */
typedef struct EngineCall {
    QSIMPLEQ_ENTRY(EngineCall) next;
    void (*fn)(Engine *e, void *opaque);
    void *opaque;
    int refs;                   /* atomic */
    QemuSemaphore done;
} EngineCall;

typedef QSIMPLEQ_HEAD(, EnginePost) EnginePosts;
typedef QSIMPLEQ_HEAD(, EngineCall) EngineCalls;

/* Pages in order of their arrival; only with a cap. */
typedef struct EvictRing {
    uint64_t size, head, tail, len;
    uint32_t *page;
    uint8_t *flags;             /* of each page; evict.c */
} EvictRing;

/* A thread that goes through memory page by page. */
typedef struct EngineRun {
    uint32_t tid;
    unsigned pages;             /* that came along the last time */
    CohPage next;               /* that continues the run */
} EngineRun;

#define ENGINE_RUNS 64

/* A page that is being fetched, or, at its home, served (late.c). */
typedef struct EngineLate {
    CohPage page;
    int64_t since_ns;           /* 0: none */
    CohNodeSet nodes;           /* served: asked to act; fetched: heard of */
    CohNodeId requester;        /* of what is served */
    bool named;
    bool complained;            /* its requester misses it */
    unsigned looks;             /* since it is late */
    int64_t excused_ns;         /* its home is at it */
} EngineLate;

#define ENGINE_LATES 256

typedef struct EngineLates {
    EngineLate slot[ENGINE_LATES];      /* by page number */
    GHashTable *more;           /* page -> EngineLate that found its slot taken */
} EngineLates;

/* Whether this lane's thread, and its peers', go on (alive.c). */
typedef struct EngineAlive {

    bool woken;                 /* this pass began with a frame, asleep */
    int64_t answered_ns[COH_NODES_MAX]; /* atomic; CLOCK_BOOTTIME */
    bool reached[COH_NODES_MAX];        /* atomic */
    /* Of engine_watch(), whose thread alone uses the next. */
    int64_t asked_ns;           /* 0: no order is under way */
    int64_t limit_ns;           /* atomic */
    bool looked;                /* atomic: the order was taken up */
} EngineAlive;

/* Requests that wait for more of their kind (outbox.c). */
#define GATHER_MAX 128

typedef struct Gather {
    bool on;
    unsigned n;                 /* requests so far */
    CohNodeId to;
    WireFrame frame;            /* of the first */
    uint8_t items[GATHER_MAX * 16];     /* the others */
} Gather;

/* One lane.  Lane 0 is what others know as the engine. */
struct Engine {
    EngineConfig config;
    unsigned lane;
    struct Engine *front;               /* lane 0 */
    struct Engine *all[LANES_MAX];      /* lane 0 only */
    size_t address_len;                 /* of this lane's part; 0: streams */
    GByteArray *address;                /* lane 0 only: of all; or NULL */
    char *path[COH_NODES_MAX];          /* lane 0 only, under lock */
    CohNode node;
    Mem *mem;
    Transport *transport;
    const EngineListener *listener;
    void *opaque;

    QemuThread thread;
    EventNotifier kick;
    bool sleeping;              /* atomic */
    bool stop;                  /* atomic */
    bool told;                  /* there may be faults */
    unsigned unseen;            /* passes since it was looked for them */

    QemuMutex lock;             /* the two queues below, path, hot */
    EnginePosts posts;
    EngineCalls calls;
    EngineHotPage hot[ENGINE_HOT_MAX];  /* of this lane, most first */
    EngineAlive alive;
    EngineLates serving, fetching;

    bool joined;
    bool failed;
    CohNodeSet expelled;        /* nothing is taken from them */
    bool pinned;
    GQueue local;               /* CohEvent: sent to itself */
    GHashTable *stalled;        /* page -> GQueue of CohEvent */
    GArray *held;               /* deliver.c */
    bool holds;                 /* atomic: there are some */
    GHashTable *kept;           /* page -> data waiting for acks */
    GHashTable *waiting;        /* page -> EngineWait */
    GArray *early;              /* CohPage: lent before all were there */
    GHashTable *lent;           /* the same, as a set */
    GArray *deferred;           /* MemFault that wait for room */
    GHashTable *adopting;       /* pages on their way home */
    GHashTable *wishes;         /* page -> GQueue of EngineWish */
    uint64_t wish_id;
    int64_t wish_due_ns;
    bool pursuing;
    uint64_t value;             /* what COH_ACT_OPERATE found */
    EvictRing ring;
    int64_t evicted_ns, evict_due_ns;
    Gather gather;
    unsigned corks;
    bool alone;                 /* the frame at hand came alone */
    CohPage ahead;              /* write-protected before its turn comes, */
    unsigned ahead_pages;       /* and as many pages from there on */
    Hold hold;
    Follow follow;
    Walks walks;
    EngineRun run[ENGINE_RUNS]; /* by thread id, the last comer wins */
    GHashTable *along;          /* pages of runs, on their way */
    GArray *asleep;             /* CohPage: here, and not yet woken for */
    unsigned installed_since;   /* the first of those */
    bool awaited;               /* the page that was installed last */
    Delta *delta;
    uint8_t copy[COH_PAGE_SIZE];        /* by COH_ACT_COPY or _TAKE */
    uint64_t copy_version;
    bool copy_is_zero, copy_is_new;
    size_t blocks_len;                  /* of the copy; 0: send it whole */
    uint8_t rebuilt[COH_PAGE_SIZE];     /* from blocks that arrived */
    uint8_t blocks[DELTA_BYTES_MAX];    /* that are to be sent */

    EngineStats stats;          /* atomic counters */
    FrameCount frames;          /* of class B: they pass lane 0 */
    uint16_t *heat;             /* faults of each page; atomic */
};

/* Who waits for a page, and since when. */
typedef struct EngineWait {
    int64_t since_ns;
    uint32_t tid;
    uint8_t state;          /* CohPeerState when it faulted */
    bool write;
    bool remote;            /* another node was needed */
    bool blocked;           /* a thread stands still for it */
    bool along;             /* nobody waits yet, but will */
} EngineWait;

static inline Engine *engine_of(Engine *e, CohPage page)
{
    return e->all[lane_of(&e->config.lanes, page)];
}

static inline bool engine_is_mine(const Engine *e, CohPage page)
{
    return lane_of(&e->config.lanes, page) == e->lane;
}

#define STAT_ADD(e, field, n) \
    qatomic_set(&(e)->stats.field, (e)->stats.field + (n))

/* @front: lane 0, whose tables all use. */
void engine_coh_init(Engine *e, Engine *front);
void engine_coh_free(Engine *e);
/* Run @fn in the engine thread and wait for it. */
void engine_call(Engine *e, void (*fn)(Engine *, void *), void *opaque);
/*
 * The same for @ms milliseconds at most, of which 0 are none: false if it was
 * not done by then.  It still will be: @opaque must stay.
 */
bool engine_call_for(Engine *e, void (*fn)(Engine *, void *), void *opaque,
                     int ms);
/* connect.c: from all lanes, for engine_address(). */
void engine_collect_addresses(Engine *e);
/* alive.c: a frame of liveness. */
void engine_ping_frame(Engine *e, const WireFrame *frame);
/* late.c */
void engine_late_init(Engine *e);
void engine_late_free(Engine *e);
/* This node asks for @page, with or without a thread that waits for it. */
void engine_fetch_begins(Engine *e, CohPage page);
/* @from has done its part for @page. */
void engine_heard(Engine *e, CohPage page, CohNodeId from);
/* As its home, this node lets @requester have @page, and nobody else in. */
void engine_service_begins(Engine *e, CohPage page, CohNodeId requester);
/* For that it asks these nodes to act. */
void engine_asked(Engine *e, CohPage page, const CohNodeSet *asked);
void engine_late_frame(Engine *e, const WireFrame *frame);
/* A page that is late by @limit_ns is named, and later its keeper is lost. */
void engine_look_for_late(Engine *e, int64_t limit_ns);
/* Does a peer @state wait for other nodes? */
static inline bool engine_is_fetching(uint8_t state)
{
    return state >= COH_PEER_IS_D && state <= COH_PEER_SM_A;
}
/* codec.c: a page has been copied for whoever @ev says. */
void engine_copied(Engine *e, const CohEvent *ev, bool owned);
/* Put the copied page into @frame. */
void engine_put_page(Engine *e, WireFrame *frame);
/* Get the page (NULL: zeroes) out of @frame; false if that cannot be. */
bool engine_get_page(Engine *e, const WireFrame *frame, const void **data);
/*
 * Remember what was sent, what came: after those who wait for it have been
 * served, because it takes as long as the network.
 */
void engine_keep_copied(Engine *e, CohPage page);
void engine_keep_got(Engine *e, const WireFrame *frame, const void *data);
/* evict.c: is there room to fetch @page, to take a page back? */
bool engine_may_fetch(const Engine *e, CohPage page);
bool engine_may_adopt(Engine *e, CohPage page);
void engine_evict_init(Engine *e, Engine *front);
void engine_evict_free(Engine *e);
/* @page has come; or what may be done with it has changed. */
void engine_evict_installed(Engine *e, CohPage page);
void engine_evict_changed(Engine *e, CohPage page);
void engine_defer(Engine *e, const MemFault *fault);
/* Keep to the cap; true if there was something to do. */
bool engine_run_evictions(Engine *e);
/* Step the protocol and perform what it says. */
void engine_event(Engine *e, const CohEvent *ev, const void *data);
void engine_early_fault(Engine *e, CohPage page);
/* Was @page lent before all were there, and not taken back yet? */
bool engine_is_lent(Engine *e, CohPage page);
void engine_fault(Engine *e, const MemFault *fault);
/* Ask for what is missing of a range; thread @tid is going to use it. */
void engine_fetch_range(Engine *e, CohPage first, unsigned pages, bool write,
                        uint32_t tid);
/* A frame of the protocol; false if it is nonsense, and @why says so. */
bool engine_coh_frame(Engine *e, const WireFrame *frame, const char **why);
/* Events sent to itself; true if there were any. */
bool engine_run_local(Engine *e);
/* deliver.c: step the protocol, now or when the page may go. */
void engine_event_or_hold(Engine *e, const CohEvent *ev, const void *data);
void engine_held_init(Engine *e);
void engine_held_free(Engine *e);
void engine_held_drop(Engine *e);
/* Held requests that are due; true if there were any. */
bool engine_run_held(Engine *e);
/* Does thread @tid stand still for a page? */
bool engine_is_waiting(Engine *e, uint32_t tid);
/* When the next held request is due, or INT64_MAX. */
int64_t engine_held_due_ns(Engine *e);
void engine_release_lost(Engine *e);
/* request.c: @page has moved: what is wished of it may be possible. */
void engine_pursue_wishes(Engine *e, CohPage page);
/* Wishes that are to be tried again; true if there were any. */
bool engine_run_wishes(Engine *e);
void engine_wishes_unpinned(Engine *e);
/* An operation is done, or is to be done here; false: nobody asked for it. */
bool engine_wish_answered(Engine *e, const CohEvent *ev, uint64_t value);
bool engine_wish_refused(Engine *e, const CohEvent *ev);
void engine_wishes_fail(Engine *e);

/* outbox.c: requests from here on go together, until the end. */
void engine_gather_begin(Engine *e);
void engine_gather_end(Engine *e);
/* True if @frame waits for others now; false: send it. */
bool engine_gather(Engine *e, CohNodeId to, const WireFrame *frame);
/* Is the list behind @frame's first page what it says it is? */
bool engine_gather_is_valid(const WireFrame *frame);
/* The page @n of that list, into an event that is like the first. */
void engine_gathered(const WireFrame *frame, unsigned n, CohEvent *ev);

/* preprotect.c: the list behind @frame is going to be read by a peer. */
void engine_protect_ahead(Engine *e, const WireFrame *frame);
/* Is @page protected already? */
bool engine_is_ahead(const Engine *e, CohPage page);
/* The list has been served. */
void engine_ahead_end(Engine *e);

/* prefetch.c: a thread faulted on an absent page; more may come along. */
void engine_read_ahead(Engine *e, const MemFault *fault, uint8_t type);
/* It faulted on a page that is on its way. */
void engine_read_on(Engine *e, const MemFault *fault, uint8_t type);
/* Wake who faulted on @page, now or in a moment. */
void engine_wake(Engine *e, CohPage page);
/* The moment is over. */
void engine_run_wakes(Engine *e);
void engine_run_installed(Engine *e, CohPage page);
/* Nothing comes any more. */
void engine_run_drop(Engine *e);
void engine_run_init(Engine *e);
void engine_run_free(Engine *e);

/* fault.c: may @page be asked for before somebody wants it? */
bool engine_may_come_along(Engine *e, CohPage page);
void engine_fetch_along(Engine *e, CohPage page, uint8_t type);

/* Does a third node wait for what @msg, a CohEventType, makes a peer do? */
static inline bool engine_sets_to_work(uint8_t msg)
{
    return msg == COH_EV_INV || msg == COH_EV_FWD_GETS ||
           msg == COH_EV_FWD_GETM || msg == COH_EV_FWD_GETV;
}

/* Take up what has faulted, if it is time to look. */
bool engine_run_faults(Engine *e);
void engine_send(Engine *e, CohNodeId to, WireFrame *frame);
/* Frames in between may go together. */
void engine_cork(Engine *e);
void engine_uncork(Engine *e);
extern const TransportListener engine_transport_listener;
void engine_break(Engine *e, const char *why);

#endif
