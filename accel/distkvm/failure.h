/*
 * distkvm: the end of a guest that has lost a node
 *
 * The guest stops for good, nothing false leaves, and threads that wait are
 * released; the process stays, to be looked at.  Each part registers a hook for
 * its own part of that, and this file knows none of them (as with Linux's
 * reboot notifiers).
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FAILURE_H
#define DISTKVM_FAILURE_H

#include "accel/distkvm/core/coh-types.h"

/* In the order in which they run; within one, in the order of registration. */
typedef enum FailureStage {
    FAILURE_STOP_VCPUS,     /* no vCPU runs on with a lost page's zeroes   */
    FAILURE_FENCE,          /* nothing leaves this host any more            */
    FAILURE_RELEASE,        /* threads that wait for a peer wait no longer  */
    FAILURE_TELL,           /* the main loop, and through it management     */
    FAILURE__STAGES,
} FailureStage;

/* Main thread, once, before the others. */
void failure_init(void);
/*
 * May pages be missing, so that nothing may leave?  A copy of guest RAM that
 * was made before this was false is as the guest wrote it.  Any thread.
 */
bool failure_is_fenced(void);
/*
 * Call @fn(@opaque) in @stage, in any thread and under any lock; it must not
 * wait.  Hooks of FAILURE_FENCE and FAILURE_RELEASE may be called several times.
 * Main thread, before membership starts.
 */
void failure_register(FailureStage stage, void (*fn)(void *opaque),
                      void *opaque);
/*
 * The guest must stop for good, because of @why: all stages, once.  Any thread,
 * any lock; never waits.
 */
void failure_raise(const char *why);
/*
 * The cluster ends in good order, and a node that may be waited for has gone:
 * FAILURE_FENCE and FAILURE_RELEASE.  Any thread, any lock; never waits.
 */
void failure_release(void);

/* Remember that @node is lost, because of @why; false: it was known.  BQL. */
bool failure_note_lost(CohNodeId node, const char *why);
/* The first such node, and *@why without its name; or false.  Any thread. */
bool failure_first_lost(CohNodeId *node, const char **why);

#endif
