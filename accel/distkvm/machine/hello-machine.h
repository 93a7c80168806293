/*
 * distkvm: the hello of a node that is a machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HELLO_MACHINE_H
#define DISTKVM_HELLO_MACHINE_H

#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"

/* This node's hello; the caller's.  Main thread, the machine is made. */
QDict *hello_machine_make(void);
/* @theirs, of @node, is now a member's: keep its TSC.  Member thread. */
void hello_machine_accept(const QDict *theirs, CohNodeId node);

#endif
