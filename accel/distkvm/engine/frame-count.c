/*
 * distkvm: how many frames of class B each pair of nodes has exchanged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "frame-count.h"
#include "accel/distkvm/trace.h"

static bool is_class_b(const WireFrame *frame)
{
    return frame->type != WIRE_COH && frame->type != WIRE_PING &&
           frame->type != WIRE_LATE;
}

void frame_count_sent(FrameCount *count, CohNodeId to, const WireFrame *frame)
{
    if (is_class_b(frame)) {
        trace_distkvm_class_b_sent(
            to, qatomic_fetch_inc(&count->sent[to]) + 1);
    }
}

void frame_count_received(FrameCount *count, const WireFrame *frame)
{
    uint64_t *received = &count->received[frame->from];

    if (is_class_b(frame)) {
        qatomic_set(received, *received + 1);
        trace_distkvm_class_b_received(frame->from, *received);
    }
}
