/*
 * distkvm: a stream for each lane
 *
 * Member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LANE_STREAMS_H
#define DISTKVM_LANE_STREAMS_H

#include "roster.h"
#include "stranger.h"

/* Connect all lanes with @m, which listens. */
void lanes_dial(Member *m);
/* The first message of @s says that it is a lane. */
void lanes_stranger(Stranger *s, const MemberLane *lane);
/* Each tick: connections that take too long are closed. */
void lanes_tick(int64_t now_ms);

#endif
