/*
 * distkvm: the part of a lane that sends frames
 *
 * Pages that are wanted together (a stream that is read in order, the tables
 * of a page walk, a range for DMA) are asked for together: requests of one
 * kind to one home become one frame with a list of pages.  Its home serves
 * each as a request of its own, so the protocol knows nothing of batches.
 * Frames to one peer that are corked leave in one message.  Spec:
 * docs/wire-format.rst, "Several pages".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_OUTBOX_H
#define DISTKVM_OUTBOX_H

#include "accel/distkvm/wire/page-list.h"
#include "lane-part.h"

typedef struct Outbox {
    LaneCtx *ctx;
    unsigned corks;             /* outbox_cork() less outbox_uncork()       */
    bool single_frame;          /* the frame being answered came alone      */
    bool batching;
    unsigned n_batched;         /* requests that wait, the first included   */
    CohNodeId to;
    WireFrame first;
    uint8_t others[PAGE_LIST_MAX * PAGE_LIST_ITEM_BYTES];
} Outbox;

/* Stamp @frame with its sender and time, and send it. */
void outbox_send(Outbox *outbox, CohNodeId to, WireFrame *frame);
/* The same, or, of a request within a batch, let it wait for others. */
void outbox_send_request(Outbox *outbox, CohNodeId to, WireFrame *frame);
/* Requests from here on may wait for each other, until the batch ends. */
void outbox_begin_batch(Outbox *outbox);
void outbox_end_batch(Outbox *outbox);
/* Frames in between leave together; these nest. */
void outbox_cork(Outbox *outbox);
void outbox_uncork(Outbox *outbox);
/*
 * The frames sent until the outermost outbox_uncork() answer a frame that came
 * alone: those for which a third node waits leave at once.
 */
void outbox_answer_single(Outbox *outbox);

extern const LanePart outbox_part;
/*
 * Begin and end of the frames of a pass that leave together: a page walk needs
 * all its tables, so they are asked for, and given, together.
 */
extern const LanePart outbox_cork_pass, outbox_uncork_pass;

#endif
