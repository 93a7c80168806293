/*
 * distkvm: the rules of which node may send which frame or message
 *
 * One table for everything that a proved peer can send: each type of frame and
 * of control message, with its sender, its receiver, the state of the cluster
 * from which on it may be sent, and its length.  A peer that breaks a rule is
 * expelled, so a handler may rely on the rules.  The meaning of a page's message
 * is the protocol's (core/coh-table.c).  Callers check that a frame or message
 * is of its connection's peer.  Pure.
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
/* Is there a rule for frames of @type? */
bool rules_know_frame(uint8_t type);

/* A rule for frames, for the documentation. */
typedef struct FrameRule {
    uint8_t type;
    uint8_t kind_min, kind_max;
    const char *from, *to;      /* B, the boot node; F, a follower; A, any  */
    const char *phase;
    uint32_t len_min, len_max;  /* bytes of payload                         */
} FrameRule;

/* Rule @n, counted from 0; false: there are no more. */
bool rules_frame_row(unsigned n, FrameRule *row);
/* Is there a rule for control messages of @type? */
bool rules_know(const char *type);

#endif
