/*
 * distkvm: which nodes are members now
 *
 * A view is a set of members and a number, which each join, each leave in good
 * order and each expulsion raises.  (Views and their numbers: Birman and Joseph
 * 1987, virtual synchrony.)  Each node counts its own view: members that have
 * seen the same joins have the same view, but not at the same moment.
 *
 * Threads: a shared view has one writer at a time (the member thread), which
 * never waits.  Readers are any thread, without a lock; each gets a set and the
 * number that belongs to it.
 *
 * Pure.  Spec: docs/architecture.rst, "Membership".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VIEW_H
#define DISTKVM_VIEW_H

#include "coh-types.h"

typedef struct View {
    uint64_t number;        /* from 1                                       */
    CohNodeSet members;     /* with this node                               */
} View;

typedef struct SharedView {
    /* All atomic. */
    uint64_t seq;           /* twice the number; odd while the set changes  */
    uint64_t word[COH_SET_WORDS];
} SharedView;

/* View 1, of @self alone.  Before other threads run. */
void view_init(SharedView *shared, CohNodeId self);
/* Any thread. */
View view_get(const SharedView *shared);
/*
 * The writer: @node is a member from now on, or none any more.  The number of
 * the view then, which stays the same if that was so before.
 */
uint64_t view_add(SharedView *shared, CohNodeId node);
uint64_t view_remove(SharedView *shared, CohNodeId node);

#endif
