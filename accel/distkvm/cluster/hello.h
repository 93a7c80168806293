/*
 * distkvm: the parts of a hello
 *
 * Facts of every node are here.  Each kind of node adds its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HELLO_H
#define DISTKVM_HELLO_H

#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"

/* A hello with the facts that every kind of node states. */
QDict *hello_new(void);
/* State a fact, which must be the same on all nodes; takes over @value. */
void hello_state(QDict *facts, const char *name, char *value);
/* "1/2/1" of share[n], one of each node; g_free. */
char *hello_shares(const uint64_t *share);
/*
 * Are the facts of @theirs, which may be anything, those of @ours?  *@from is
 * its node then, another one of this cluster; else false and @errp, naming
 * the fact that differs and both values.
 */
bool hello_check(const QDict *ours, const QDict *theirs, CohNodeId *from,
                 Error **errp);

#endif
