/*
 * distkvm: who may say what
 *
 * One table for everything that a proved peer can send: each type of frame and
 * of control message, with who may send it to whom, from which state of the
 * cluster on, and how long it is.  A peer that breaks a rule is expelled, so a
 * handler may rely on them.  The meaning of a page's message is the protocol's
 * (core/coh-table.c).  inbox.c and member.c check that a message is of its
 * connection's peer.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RULES_H
#define DISTKVM_RULES_H

#include "wire.h"

/* States of a pair of nodes and of the cluster, in order. */
typedef enum Phase {
    PHASE_GREETING,         /* proved by the door; no hello yet             */
    PHASE_KNOWN,            /* its hello was right                          */
    PHASE_JOINED,           /* frames pass both ways on every lane          */
    PHASE_FORMED,           /* so it is between all nodes                   */
} Phase;

/*
 * The rule that a frame breaks which @self got in @phase; NULL if it obeys all.
 * The text goes on after "it sent ".
 */
const char *rules_frame(const WireFrame *frame, CohNodeId self, Phase phase);
/* The same for a control message of @type, as long as @len bytes. */
const char *rules_message(const char *type, size_t len, CohNodeId from,
                          CohNodeId self, Phase phase);
/* Is there a rule for control messages of @type? */
bool rules_know(const char *type);

#endif
