/*
 * distkvm: the part of a lane that takes frames
 *
 * All frames caused by one received buffer leave in one message; a second
 * would double the sender's TCP cost.  Frames for which a third node waits do
 * not wait for that.  Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_INBOX_H
#define DISTKVM_INBOX_H

#include "alive.h"
#include "frame-count.h"
#include "request.h"

typedef struct Inbox {
    LaneCtx *ctx;
    Alive *alive;
    Codec *codec;
    Deliver *deliver;
    Executor *executor;
    Faults *faults;
    FrameCount *frames;
    Late *late;
    Outbox *outbox;
    Preprotect *preprotect;
    Requests *requests;
    CohNodeSet expelled;        /* no frame of them is taken */
} Inbox;

/* Of the lane's transport, whose opaque is the Inbox. */
extern const TransportListener inbox_listener;
/* @peer is connected, perhaps again: take its frames. */
void inbox_admit(Inbox *inbox, CohNodeId peer);

/* Runs polls of the transport. */
extern const LanePart inbox_part;

#endif
