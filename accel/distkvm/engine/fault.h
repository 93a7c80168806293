/*
 * distkvm: the part of a lane that meets page faults
 *
 * A fault becomes an event of the protocol, or waits for room below the cap.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FAULT_H
#define DISTKVM_FAULT_H

#include "affinity.h"
#include "heat.h"
#include "prefetch.h"

typedef struct Faults {
    LaneCtx *ctx;
    Affinity *affinity;
    Evict *evict;
    Executor *executor;
    Heat *heat;
    Prefetch *prefetch;
    Prejoin *prejoin;
    Waiters *waiters;
    unsigned passes_unread;     /* since the userfaultfd was read           */
} Faults;

/* A thread of this process, @fault->tid, is stopped at @fault->page. */
void faults_take(Faults *faults, const MemFault *fault);
/*
 * Let the absent @page come without its bytes: it is to hold @bytes, a page of
 * them, which are copied.  False: there is no room below the cap.
 */
bool faults_fill(Faults *faults, CohPage page, const void *bytes);
/*
 * Read the userfaultfd, if it is time to; true if a thread had faulted.  That
 * is a system call: a spinning loop skips it, a loop about to sleep learns
 * from poll() and says so by faults_polled().
 */
bool faults_read(Faults *faults);
/* @pending: the userfaultfd has something. */
void faults_polled(Faults *faults, bool pending);

/* Runs faults_read(). */
extern const LanePart faults_part;
/* Runs faults that waited for room. */
extern const LanePart faults_deferred_pass;

#endif
