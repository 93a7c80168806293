/*
 * distkvm: how many frames of class B each pair of nodes has exchanged
 *
 * Frames of class B (interrupts, device accesses and their answers, the
 * split-lock token) have no transaction whose end could be seen.  A node counts
 * those that were posted for each peer, and those that came from it and were
 * handed on.  None is under way from one node to another when the first's count
 * of sent frames and the second's of received ones are equal, while nothing
 * makes the first send more.
 * Frames that were handed on may still wait for the BQL in the service thread.
 *
 * Threads: counts are atomic.  Any thread sends, the lane's thread receives.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FRAME_COUNT_H
#define DISTKVM_FRAME_COUNT_H

#include "accel/distkvm/wire/wire.h"

typedef struct FrameCount {
    uint64_t sent[COH_NODES_MAX];
    uint64_t received[COH_NODES_MAX];
} FrameCount;

/* @frame was posted for @to.  Frames of class A are not counted. */
void frame_count_sent(FrameCount *count, CohNodeId to, const WireFrame *frame);
/* @frame was handed on.  The same. */
void frame_count_received(FrameCount *count, const WireFrame *frame);

#endif
