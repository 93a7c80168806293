/*
 * distkvm: states, events and actions of the coherence protocol
 *
 * Two machines: the peer side of a page (this node's copy of it) and the
 * home side (its directory entry).  The tables in coh-table.c name, for every
 * state and event, the next state and the actions in the order of their
 * effects.  Names follow Sorin, Hill and Wood: XY_W is "in X, going to Y,
 * waiting for W"; D is data or a grant, A acknowledgements, I an installation;
 * F is M, but with bytes that this node has.
 * Depends on coh-types.h only.  Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef COH_TABLE_H
#define COH_TABLE_H

#include "coh-types.h"

/* This node's copy of a page. */
typedef enum {
    COH_PEER_I,     /* nothing; guest accesses fault                        */
    COH_PEER_S,     /* a read-only copy, equal to every other copy          */
    COH_PEER_M,     /* the only copy, writable                              */
    COH_PEER_IS_D,  /* asked to read, waiting for the page                  */
    COH_PEER_IM_AD, /* asked to write, waiting for the page and for acks    */
    COH_PEER_IM_A,  /* has its bytes (kept aside), waiting for acks         */
    COH_PEER_SM_AD, /* holds a copy, asked to write, waiting for the grant  */
    COH_PEER_SM_A,  /* holds a copy, granted, waiting for acks              */
    COH_PEER_IF_AD, /* has bytes to fill it with, waiting for the grant     */
    COH_PEER_XS_I,  /* a read-only copy is being installed                  */
    COH_PEER_XM_I,  /* a writable copy is being installed                   */
    COH_PEER__MAX
} CohPeerState;

/* A home's knowledge of a page; *_B waits for the requester's DONE. */
typedef enum {
    COH_HOME_U,     /* never touched: all zero, no node holds it            */
    COH_HOME_S,     /* the nodes in the set hold read-only copies           */
    COH_HOME_M,     /* one node owns it                                     */
    COH_HOME_S_B,   /* becoming S                                           */
    COH_HOME_M_B,   /* becoming M                                           */
    COH_HOME__MAX
} CohHomeState;

/* Events of the peer side, after classification. */
typedef enum {
    COH_PEV_LOAD,       /* the guest read and faulted                       */
    COH_PEV_STORE,      /* the guest wrote and faulted                      */
    COH_PEV_FILL,       /* the whole page is to hold other bytes            */
    COH_PEV_FWD_GETS,   /* home: give the requester a copy                  */
    COH_PEV_FWD_GETM,   /* home: give the requester the page                */
    COH_PEV_INV,        /* home: drop the copy, tell the requester          */
    COH_PEV_DATA_S,     /* the page, read-only                              */
    COH_PEV_DATA_M,     /* the page, writable, acks still outstanding       */
    COH_PEV_DATA_M_LAST,/* the page, writable, no acks outstanding          */
    COH_PEV_ZERO,       /* home: an untouched page, writable                */
    COH_PEV_GRANT,      /* home: no bytes, acks still outstanding           */
    COH_PEV_GRANT_LAST, /* home: no bytes, no acks outstanding              */
    COH_PEV_ACK,        /* an acknowledgement, others outstanding           */
    COH_PEV_ACK_LAST,   /* the last acknowledgement                         */
    COH_PEV_INSTALLED,  /* the installation is complete                     */
    COH_PEV_EVICT,      /* this node would rather not hold the page         */
    COH_PEV_DROP,       /* home: drop the copy, others have it              */
    COH_PEV_OPERATE,    /* a word is to be operated on, wherever it is      */
    COH_PEV_FWD_GETV,   /* home: operate on a word for the requester        */
    COH_PEV_VALUE,      /* owner: done; the word's old value                */
    COH_PEV_REFUSE,     /* home: no node owns the page, fetch it            */
    COH_PEV__MAX
} CohPeerEvent;

/* Events of the home side, after classification. */
typedef enum {
    COH_HEV_GETS,       /* a node without a copy wants to read              */
    COH_HEV_GETM,       /* a node without a copy wants to write             */
    COH_HEV_GETO,       /* such a node will overwrite all of it             */
    COH_HEV_UPGRADE,    /* a sharer wants to write                          */
    COH_HEV_GETV,       /* a node wants a word operated on                  */
    COH_HEV_DONE,       /* the requester has it; or the owner has operated  */
    COH_HEV_PUT_SHARED, /* a sharer would drop its copy, others have one    */
    COH_HEV_PUT_LAST,   /* the only holder would give the page up           */
    COH_HEV_PUT_STALE,  /* the same, but it holds nothing the home lacks    */
    COH_HEV__MAX
} CohHomeEvent;

/* Actions, in the words of the caller that performs them. */
typedef enum {
    COH_ACT_NONE,
    /* memory of this node */
    COH_ACT_INSTALL_RO,     /* place the event's data, write-protected      */
    COH_ACT_INSTALL_RW,     /* place the event's data, writable             */
    COH_ACT_INSTALL_ZERO,   /* place a zero page, writable                  */
    COH_ACT_INSTALL_KEPT,   /* place the kept data, writable                */
    COH_ACT_KEEP,           /* keep the event's data aside                  */
    COH_ACT_UNPROTECT,      /* make the present copy writable               */
    COH_ACT_PROTECT,        /* make the present page read-only              */
    COH_ACT_COPY,           /* copy the present bytes into the next message */
    COH_ACT_TAKE,           /* the same, but of the page, which is removed  */
    COH_ACT_ZAP,            /* remove the copy                              */
    COH_ACT_WAKE,           /* wake the threads that faulted on it          */
    COH_ACT_OPERATE,        /* operate on the present bytes, keep the value */
    COH_ACT_ANSWER,         /* the value, to the asking thread of this node */
    COH_ACT_FETCH,          /* the asking thread needs the page, as a STORE */
    /* messages of the peer side */
    COH_ACT_SEND_GETS,
    COH_ACT_SEND_GETM,
    COH_ACT_SEND_GETO,
    COH_ACT_SEND_DATA_S,    /* the copied bytes, to the requester           */
    COH_ACT_SEND_DATA_M,    /* the same, and with them the right to write   */
    COH_ACT_SEND_ACK,
    COH_ACT_SEND_DONE,
    COH_ACT_SEND_PUT,       /* a hint: the home may ignore it               */
    COH_ACT_SEND_GETV,
    COH_ACT_SEND_VALUE,     /* the value, to the requester                  */
    /* messages of the home side */
    COH_ACT_FWD_GETS,
    COH_ACT_FWD_GETM_INV,   /* GETM to one holder, INV to the other sharers */
    COH_ACT_INV_GRANT,      /* INV to the other holders, GRANT to requester */
    COH_ACT_SEND_ZERO,
    COH_ACT_SEND_DROP,
    COH_ACT_ADOPT,          /* the home itself asks to write, as by a STORE */
    COH_ACT_FWD_GETV,
    COH_ACT_SEND_REFUSE,
    COH_ACT__MAX
} CohAct;

typedef enum {
    COH_ROW_MISSING,        /* the cell was not written: a bug (test-coh)   */
    COH_ROW_STEP,           /* go to next, perform acts in order            */
    COH_ROW_STALL,          /* keep the event until the page's state moves  */
    COH_ROW_NEVER,          /* cannot happen, because of @why               */
} CohRowKind;

#define COH_ROW_ACTS_MAX 4

typedef struct CohRow {
    uint8_t kind;
    uint8_t next;
    uint8_t acts[COH_ROW_ACTS_MAX];
    const char *why;
} CohRow;

/* The test that mutates the tables compiles them writable. */
#ifndef COH_TABLE_CONST
#define COH_TABLE_CONST const
#endif

extern COH_TABLE_CONST CohRow coh_peer_table[COH_PEER__MAX][COH_PEV__MAX];
extern COH_TABLE_CONST CohRow coh_home_table[COH_HOME__MAX][COH_HEV__MAX];

const char *coh_peer_state_name(unsigned state);
const char *coh_home_state_name(unsigned state);
const char *coh_peer_event_name(unsigned event);
const char *coh_home_event_name(unsigned event);
const char *coh_act_name(unsigned act);

#endif
