/*
 * distkvm: the part of a lane that delays requests for pages in use
 *
 * A request for a page that came a moment ago waits a little (hold.h), and one
 * for a page that is pinned waits until it is not.  To the protocol that is as
 * if the network had taken longer.  A page whose vCPU has halted since need
 * not stay as long.  A lane knows the threads of its own pages only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_DELIVER_H
#define DISTKVM_DELIVER_H

#include "executor.h"
#include "hold.h"

typedef struct Deliver {
    LaneCtx *ctx;
    Executor *executor;
    Hold *hold;                 /* initialised here */
    const Waiters *waiters;
    GArray *delayed;            /* DelayedEvent, in order of arrival */
    bool any_delayed;           /* atomic */
} Deliver;

/*
 * Step the protocol by @ev, now or when the page may go; as executor_event().
 */
void deliver_event(Deliver *deliver, const CohEvent *ev, const void *data);
/* Would it matter if a thread became idle?  Any thread. */
bool deliver_has_delayed(const Deliver *deliver);

extern const LanePart deliver_part;

#endif
