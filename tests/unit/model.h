/*
 * Explicit-state search of the real protocol
 *
 * Explores coh_step() itself from the untouched cluster until nothing new is
 * found: every order of delivery (also within one pair of nodes), every
 * moment of a guest's access, of an operation on a word, of a device that
 * overwrites a page, of an eviction, and of an installation's end.
 * Memory effects that a row orders after a message happen after it, at any
 * later time, so the order of effects is checked too.
 *
 * Checked in every state: one writer or many readers; every readable copy is
 * the latest; a page is copied only while no node can write to it; an operation
 * is done once, where no other node has the page; a page is filled once, with
 * the device's bytes, and no other bytes are seen in it meanwhile; nothing
 * impossible happens; an event can happen.  With nothing under way: no access,
 * no operation and no filling waits, and the directory agrees with the nodes'
 * copies.  From every state, when nothing more is asked, all that was asked
 * ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MODEL_H
#define MODEL_H

#include "accel/distkvm/core/coh-node.h"

#define MODEL_NODES_MAX 4
#define MODEL_PAGES_MAX 2

typedef struct ModelResult {
    unsigned states;
    unsigned depth;         /* events on the longest shortest way           */
    uint64_t transitions;
    const char *violation;  /* NULL: none                                   */
    char *where;            /* the state it happened in; g_free             */
} ModelResult;

typedef struct ModelShape {
    unsigned nodes, pages;  /* all pages are of home 0                      */
    /* So many of a node's faults are seen later than they happen: 0 to 2. */
    unsigned late_faults;
    unsigned operators;     /* the last nodes, in number, operate on words  */
    unsigned fillers;       /* the last nodes, in number, fill pages        */
    unsigned states_max;    /* more is a violation                          */
} ModelShape;

/* Search; stops at the first violation. */
ModelResult model_search(const ModelShape *shape);

#endif
