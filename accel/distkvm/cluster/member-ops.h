/*
 * distkvm: the calls that membership expects of the node around it
 *
 * A machine fills this in (start.c), and so does a program that only shares
 * memory (client/memory-node.c).  Membership knows neither.  One table of
 * calls per embedder, as libvfio-user has for its transports.
 *
 * Member thread unless a comment says otherwise.  No call may block, wait for
 * a log, or take the BQL.  Where it says "or NULL", the node has nothing to do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBER_OPS_H
#define DISTKVM_MEMBER_OPS_H

#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"
#include "member-types.h"

typedef struct MemberOps {
    /* This node's hello, from hello_new(); the caller's.  Main thread. */
    QDict *(*hello)(void);
    /*
     * @theirs, of @node, agrees with @ours in the facts of every node.  Does
     * the rest fit?  False and @errp, naming the fact that differs; or NULL.
     */
    bool (*agrees)(const QDict *ours, const QDict *theirs, CohNodeId node,
                   Error **errp);
    /* @theirs, of @node, is a member's from now on; or NULL. */
    void (*accepted)(const QDict *theirs, CohNodeId node);
    /* This node cannot join, because of @why, which was said.  Any thread. */
    void (*cannot_join)(const char *why);
    /* @node has joined this one; or NULL. */
    void (*joined)(CohNodeId node);
    /*
     * @node has gone before all had joined, and another process may come in its
     * place; or NULL.
     */
    void (*left_early)(CohNodeId node);
    /* All nodes have joined each other. */
    void (*formed)(void);
    /*
     * Run @fn(@opaque) in @context, which is not MEMBER_THREAD, in order; or
     * NULL if no message is served there.
     */
    void (*queue)(MemberContext context, void (*fn)(void *opaque),
                  void *opaque);
    /* Each tick since then, five in a second; or NULL. */
    void (*tick)(void);
    /* @node answered a ping of @age_ns ago; or NULL. */
    void (*answered)(CohNodeId node, int64_t age_ns);
    /* From now on a closed connection is no loss; or NULL.  Any thread. */
    void (*leaving)(void);
    /* The cluster ends in good order, and @node has gone. */
    void (*left)(CohNodeId node);
    /* @node is lost, because of @why, which does not name it; or NULL. */
    void (*lost)(CohNodeId node, const char *why);
    /* The guest cannot go on, because of @why. */
    void (*failed)(const char *why);
} MemberOps;

#endif
