/*
 * distkvm: state that every node keeps a copy of
 *
 * A kind of state registers how a change of it is applied.  The node that
 * makes a change publishes it, and waits, where waiting is allowed, until all
 * have applied it.  (State machine replication, Schneider 1990, without a log:
 * each object has one publisher, which keeps the order.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REPLICA_H
#define DISTKVM_REPLICA_H

#include "hw/core/cpu.h"
#include "accel/distkvm/cluster/distkvm-qapi-types.h"
#include "accel/distkvm/core/coh-types.h"

/* Main thread, once. */
void replica_init(void);
/* A kind of state, told by messages of one type. */
typedef struct ReplicaKind {
    MemberMessageType type;     /* wire/rules.c knows it */
    size_t seq_at;              /* of the change's number in MemberMessage */
    /*
     * Apply @change of @from, BQL held.  NULL, or the fault in it, in words
     * like "it sent ...": then @from is expelled, and not answered.
     */
    const char *(*apply)(CohNodeId from, const MemberMessage *change);
} ReplicaKind;

/* @kind is static.  Main thread, before membership starts. */
void replica_register(const ReplicaKind *kind);
/*
 * Tell all others of @change, of a registered kind, number it, and count
 * acknowledgements.  BQL held.  Returns the change's number.
 */
uint64_t replica_publish(MemberMessage *change);
/* The number of the last change; any thread. */
uint64_t replica_last(void);
/* Run @fn under no lock when change @seq is acknowledged by all. */
void replica_then(uint64_t seq, void (*fn)(void *opaque), void *opaque);
/*
 * Until all have applied the changes that were made so far, with the BQL, which
 * the caller has, dropped meanwhile.  On a thread that may wait for a peer.
 */
void replica_wait(void);
/* The running vCPU waits for its changes before it executes on.  BQL held. */
void replica_wait_on_cpu(CPUState *cpu);
/*
 * Has @node had a first change for a second, so that no access that is older is
 * under way?  Any thread.
 */
bool replica_has_settled(CohNodeId node);
/*
 * Since when has the oldest change waited, in ns of get_clock(), and for which
 * node?  0: all is acknowledged.  Any thread.
 */
int64_t replica_waits_since_ns(CohNodeId *node);

#endif
