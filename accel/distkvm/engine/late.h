/*
 * distkvm: the part of a lane for pages that do not come
 *
 * A node may answer pings and still keep a page.  The requester knows since
 * when it waits, and which nodes have done their part; the page's home knows
 * which nodes it has asked.  So the requester tells the home that it misses
 * the page.  The home answers that it is serving it, and knows which node
 * owes.  After dead-after-ms that node is named, after twice as long it is
 * lost.  A requester blames the home if that does not answer; no other node
 * sees the home's part.  Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LATE_H
#define DISTKVM_LATE_H

#include "outbox.h"

/* A page that is being fetched, or, at its home, served. */
typedef struct LateEntry {
    CohPage page;
    int64_t since_ns;           /* 0: none */
    CohNodeSet nodes;           /* served: asked to act; fetched: heard of */
    CohNodeId requester;        /* of a page that is served */
    bool named;                 /* in the log */
    bool complained;            /* its requester misses it */
    unsigned looks;             /* since it is late */
    int64_t excused_ns;         /* when its home last said it is serving it */
} LateEntry;

#define LATE_SLOTS 256

typedef struct LateTable {
    LateEntry slot[LATE_SLOTS];     /* by page number */
    GHashTable *more;           /* CohPage -> LateEntry whose slot is taken */
} LateTable;

typedef struct Late {
    LaneCtx *ctx;
    Outbox *outbox;
    int64_t limit_ns;           /* of the last late_look(); 0: none yet */
    LateTable serving, fetching;
} Late;

/* This node asks for @page, with or without a thread that waits for it. */
void late_fetch_begins(Late *late, CohPage page);
/* @from has done its part for @page. */
void late_heard(Late *late, CohPage page, CohNodeId from);
/* As its home, this node serves @page to @requester, and to no other node. */
void late_service_begins(Late *late, CohPage page, CohNodeId requester);
/* For that it asks the nodes @asked to act. */
void late_asked(Late *late, CohPage page, const CohNodeSet *asked);
/* A frame of type WIRE_LATE that has passed rules_frame(). */
void late_frame(Late *late, const WireFrame *frame);
/* Look for pages awaited for @limit_ns: name their keepers, later lose them. */
void late_look(Late *late, int64_t limit_ns);

extern const LanePart late_part;

#endif
