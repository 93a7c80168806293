/*
 * distkvm: where this node runs, as far as shared memory is concerned
 *
 * Two processes can share memory through UCX if they run on one boot of one
 * kernel, in the same IPC namespace (segments), the same network namespace
 * (UCX wakes a sleeper through an abstract Unix address), the same user
 * namespace, as one user (segments are their owner's alone), and have the same
 * UCX, whose versions do not speak with each other.  Main thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PLACE_H
#define DISTKVM_PLACE_H

#include "qobject/qdict.h"

/* Of this process; each fact by its name. */
QDict *place_make(void);
/*
 * The name of the first fact that @ours and @theirs do not share, which may be
 * anything or NULL; NULL if they are in one place.
 */
const char *place_differs(const QDict *ours, const QDict *theirs);
/*
 * Would UCX share memory between @ours and @theirs, in which it cannot wake a
 * sleeper?  It compares hosts and IPC namespaces, and nothing else.
 */
bool place_misleads(const QDict *ours, const QDict *theirs);

#endif
