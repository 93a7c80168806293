/*
 * distkvm: connections that have not said which node they are
 *
 * Past the door, before a right hello.  Member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_STRANGER_H
#define DISTKVM_STRANGER_H

#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/core/coh-types.h"

typedef struct Stranger {
    Channel *channel;
    CohNodeId node;             /* as its greeting says */
    char *address;
    int64_t end_ms;             /* when it is closed */
    bool greeted;
} Stranger;

/*
 * @ioc is such a connection, from @address, whose peer greeted as @node; takes
 * over a reference.  The oldest stranger gives way if there are too many.
 */
void stranger_add(QIOChannel *ioc, CohNodeId node, const char *address);
/* The stranger behind @c, or NULL. */
Stranger *stranger_of(const Channel *c);
/* Tell it @why, and close soon; @retry: it may come again. */
void stranger_refuse(Stranger *s, bool retry, const char *why);
/* @s is no stranger any more; its channel is the caller's. */
void stranger_forget(Stranger *s);
/* Close and forget it. */
void stranger_drop(Stranger *s);
/* Each tick, for ever: those that take too long are closed. */
void stranger_tick(int64_t now_ms);

#endif
