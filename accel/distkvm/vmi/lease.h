/*
 * distkvm: the right to execute guest code
 *
 * A node executes guest code only while it knows that every other node still
 * counts on it: each answer to a ping renews that for less than the time after
 * which that node would give us up.  So a node that was expelled while it was
 * stopped, or cut off, executes no guest instruction when it goes on.  (Gray
 * and Cheriton, "Leases", SOSP 1989.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LEASE_H
#define DISTKVM_LEASE_H

#include "accel/distkvm/core/coh-types.h"

/* Main thread, once: a lost node ends all leases for good. */
void lease_init(void);
/* All nodes have joined; vCPU threads exist.  Main thread. */
void lease_start(void);
/* @peer answered a ping of @age_ns ago.  Member thread. */
void lease_granted(CohNodeId peer, int64_t age_ns);
/* Leases are granted and needed no more.  Any thread, any lock. */
void lease_end(void);
/*
 * A fault at @pc: true if guest code was about to run without a lease.
 * Returns once there is a lease; *@leave says that there never will be.
 * Async-signal-safe.
 */
bool lease_fault(uintptr_t pc, bool *leave);

#endif
