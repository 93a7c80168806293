/*
 * distkvm: the coherence protocol of one node
 *
 * coh_step() is the only entry: it advances this node by one event and says
 * what to do.  Pure: no I/O, clock, allocation, lock or log; the caller owns
 * all memory and serialises events of one page.  The network may reorder
 * messages, also of one pair of nodes, but neither loses nor repeats them.
 * Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef COH_NODE_H
#define COH_NODE_H

#include "coh-op.h"
#include "coh-table.h"
#include "cluster-map.h"

/* The state that a node keeps for every page of the guest. */
typedef struct CohPeer {
    uint8_t state;      /* CohPeerState                                     */
    uint8_t unused;
    int16_t acks;       /* outstanding; negative when acks came first       */
} CohPeer;

/* Directory entry, for pages this node is home of. */
typedef struct CohHome {
    CohNodeSet sharers; /* in S and S_B                                     */
    CohNodeId owner;    /* in M and M_B                                     */
    CohNodeId requester;/* in S_B and M_B                                   */
    uint8_t state;      /* CohHomeState                                     */
} CohHome;

G_STATIC_ASSERT(COH_NODES_MAX % 64 == 0);
/* QEMU keeps one for every page that a node is home of. */
G_STATIC_ASSERT(COH_NODES_MAX > 64 || sizeof(CohHome) <= 16);

typedef struct CohNode {
    CohNodeId id;
    const ClusterMap *map;
    CohPeer *peer;      /* one for every page                               */
    CohHome **home;     /* of each stretch: one for every page of it, or    */
                        /* NULL where another node is home                  */
    CohHome *entries;   /* the caller's block that those are in             */
} CohNode;

/* Entry of @page, which must be in coherent RAM; NULL: another node is home. */
static inline CohHome *coh_node_home(const CohNode *node, CohPage page)
{
    CohHome *home = node->home[page >> node->map->bits];

    return home ? home + (page & ((UINT64_C(1) << node->map->bits) - 1))
                : NULL;
}

typedef enum {
    COH_EV_INVALID,
    /* local */
    COH_EV_LOAD,
    COH_EV_STORE,
    COH_EV_FILL,
    COH_EV_INSTALLED,
    COH_EV_EVICT,
    COH_EV_OPERATE,
    /* messages to a home */
    COH_EV_GETS,
    COH_EV_GETM,
    COH_EV_GETO,
    COH_EV_PUT,
    COH_EV_GETV,
    COH_EV_DONE,
    /* messages to a peer */
    COH_EV_FWD_GETS,
    COH_EV_FWD_GETM,
    COH_EV_INV,
    COH_EV_DATA_S,
    COH_EV_DATA_M,
    COH_EV_ZERO,
    COH_EV_GRANT,
    COH_EV_ACK,
    COH_EV_DROP,
    COH_EV_FWD_GETV,
    COH_EV_VALUE,
    COH_EV_REFUSE,
    COH_EV__MAX
} CohEventType;

typedef struct CohEvent {
    uint8_t type;           /* CohEventType                                 */
    CohNodeId from;         /* sender; this node for local events           */
    CohNodeId requester;    /* FWD_*, INV: it gets the answer               */
    int16_t acks;           /* FWD_GETM, DATA_M, GRANT: acks to wait for    */
    CohPage page;
    /*
     * Not looked at, but handed on in FWD_*.  The requester's version of the
     * page; of GETV the number of its operation, that operation, the guest's
     * resets when it was asked for, and the bytes that it moves.  @bytes are
     * the caller's, and NULL where there are none.
     */
    uint64_t have;
    uint32_t epoch;
    CohOp op;
    const void *bytes;
} CohEvent;

/* One thing to do.  COH_ACT_* of memory kind, or COH_ACT_NONE to send. */
typedef struct CohDo {
    uint8_t act;            /* CohAct; COH_ACT_NONE: send @msg to @to       */
    uint8_t msg;            /* CohEventType of a message                    */
    bool data;              /* the message carries the copied bytes         */
    CohNodeId requester;
    int16_t acks;
    CohNodeSet to;
} CohDo;

#define COH_DO_MAX 5

typedef struct CohActions {
    unsigned n;
    CohDo act[COH_DO_MAX];
    /* For tracing: which cell this was. */
    bool home;
    uint8_t state, event, next;
    const char *why;        /* of COH_BROKEN                                */
} CohActions;

typedef enum {
    COH_OK,
    COH_STALLED,            /* give the event again when the page moved     */
    COH_BROKEN,             /* impossible event: the sender lies, or a bug  */
} CohStatus;

/*
 * Advance @node by @ev.  The same node bytes and event always give the same
 * result.  Never blocks, allocates or logs; any thread, one at a time for one
 * page.  On COH_STALLED and COH_BROKEN nothing has changed.
 */
CohStatus coh_step(CohNode *node, const CohEvent *ev, CohActions *out);

/* True if an event of this type comes from another node. */
bool coh_event_is_message(unsigned type);
/* Does a home in @state serve a request, and let no other one in? */
bool coh_home_is_busy(unsigned state);
/* True if it is handled by the page's home. */
bool coh_event_is_for_home(unsigned type);
const char *coh_event_name(unsigned type);

/*
 * Bytes of caller-provided tables for a node of @map: of CohPeer, of CohHome
 * in whole stretches, and of CohNode.home.
 */
size_t coh_node_peer_bytes(const ClusterMap *map);
size_t coh_node_home_bytes(const ClusterMap *map, CohNodeId id);
size_t coh_node_index_bytes(const ClusterMap *map);
/*
 * Make @index @node's directory: @entries, zeroed, are of its stretches in
 * order.  @node's id and map are set.
 */
void coh_node_set_homes(CohNode *node, CohHome **index, CohHome *entries);

#endif
