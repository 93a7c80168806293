/*
 * distkvm: the part of a lane that performs the protocol's actions
 *
 * Steps the protocol by events and performs its actions: in guest RAM, which
 * it touches only where the protocol says that the page is present, by
 * messages, and by hooks of the parts above (page-hooks.h).  Actions of one
 * page happen in the order of steps.  Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_EXECUTOR_H
#define DISTKVM_EXECUTOR_H

#include "census.h"
#include "codec.h"
#include "late.h"
#include "outbox.h"
#include "page-hooks.h"
#include "preprotect.h"
#include "stalled.h"
#include "waiters.h"
#include "wakeup.h"

#define EXECUTOR_HOOKS_MAX 4

typedef struct ExecutorHooks {
    const PageHooks *hooks;
    void *part;
} ExecutorHooks;

typedef struct Executor {
    LaneCtx *ctx;
    CensusCounts *census;      /* of all lanes */
    Codec *codec;
    Late *late;
    Outbox *outbox;
    Preprotect *preprotect;
    Stalled *stalled;
    Waiters *waiters;
    Wakeup *wakeup;
    ExecutorHooks hook[EXECUTOR_HOOKS_MAX + 1];     /* the last: NULL */
    GHashTable *pending_data;   /* CohPage -> its data (NULL: zeroes), which */
                                /* wait for acks */
    uint64_t value;             /* found by the last operation here         */
    /* An operation on the wire; behind it bytes, also those of @value.     */
    uint8_t op[COH_OP_BYTES + COH_PAGE_SIZE];
    bool has_waiter;            /* the page that was installed last         */
} Executor;

/*
 * Step the protocol by @ev and perform the actions.  @data: the page that came
 * with @ev; NULL: zeroes.
 */
void executor_event(Executor *executor, const CohEvent *ev, const void *data);
/* Does a message of @type carry a CohOp? */
bool executor_carries_op(uint8_t type);

extern const LanePart executor_part;

#endif
