/*
 * distkvm: the parts of a hello
 *
 * hello.c states the facts of every node.  Each kind of node adds its own:
 * machine/hello-machine.c QEMU's (machine/hello-agree.c compares them),
 * client/memory-node.c those of programs that share memory only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HELLO_H
#define DISTKVM_HELLO_H

#include "qobject/qdict.h"

/* A hello with the facts that every kind of node states. */
QDict *hello_new(void);
/* State a fact, which must be the same on all nodes; takes over @value. */
void hello_state(QDict *facts, const char *name, char *value);
/* "1/2/1" of share[n], one of each node; g_free. */
char *hello_shares(const uint64_t *share);
/*
 * For machines: false and @errp if @theirs, of @node, which may be anything,
 * does not fit @ours.
 */
bool machine_hello_fits(const QDict *ours, const QDict *theirs, int node,
                        Error **errp);
/* So close that one counts as well as the other. */
bool hello_tsc_equal(int64_t khz_a, int64_t khz_b);
/* The kind's own: false and @errp, naming what differs from @node's. */
bool hello_machine_agrees(const QDict *ours, const QDict *theirs, int node,
                          Error **errp);

/* @theirs, of @node, is a member's from now on: remember what matters. */
void hello_machine_accept(const QDict *theirs, int node);

#endif
