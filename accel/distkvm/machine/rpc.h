/*
 * distkvm: frames that wait for an answer
 *
 * A call is a frame whose body begins with the call's number, and a frame that
 * comes back with the same number.  The thread that calls waits with the BQL
 * dropped; any number of threads may do so at once.  After Birrell and Nelson,
 * "Implementing Remote Procedure Calls" (1984), without its retries: TCP
 * or UCX lose no frame, so a call is sent once, and answered once or never.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RPC_H
#define DISTKVM_RPC_H

#include "accel/distkvm/wire/dispatch.h"

/* Main thread, before membership starts. */
void rpc_init(void);
/* Frames of @type end calls.  The same. */
void rpc_register_answer(WireType type);
/*
 * Send @request to node @to, not this one, and wait for the frame of type
 * @answer_type that @to sends for it; *@answer has no payload.  False: no
 * answer will come, as a node is lost, or the cluster is not formed.  Drops the
 * BQL if it is held, so the caller's state may have changed.  Only on a thread
 * that may wait for a peer: a vCPU's, of its own accord, not within a device
 * (may-wait.h decides it for accesses).
 */
bool rpc_call(CohNodeId to, WireFrame *request, WireType answer_type,
              WireFrame *answer);
/* Send @answer, without payload, for @request.  Any thread, any lock. */
void rpc_answer(const WireFrame *request, WireFrame *answer);
/*
 * Since when the oldest call has waited, in ns of get_clock(), and for which
 * node; 0: no call waits.  Any thread.
 */
int64_t rpc_waits_since_ns(CohNodeId *node);

#endif
