/*
 * distkvm: the interface of each part of a lane
 *
 * lane.c has the one table of parts: initialisation, end, the work of a pass,
 * due times and failure are loops over it.  NULL where a part has nothing to
 * do.  All are called in the lane's thread, but for init and free, which are
 * called while it does not run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LANE_PART_H
#define DISTKVM_LANE_PART_H

#include "lane-ctx.h"

typedef struct LanePart {
    /* Of a @part that is zero but for its pointers to other parts. */
    void (*init)(void *part, LaneCtx *ctx);
    void (*free)(void *part);
    /* Do the work of this pass; true if there was any. */
    bool (*run)(void *part);
    /* When to run again, in ns of get_clock(), or INT64_MAX. */
    int64_t (*due_ns)(void *part);
    /* The lane is in LANE_FAILED from now on: release waiting threads. */
    void (*fail)(void *part);
} LanePart;

#endif
