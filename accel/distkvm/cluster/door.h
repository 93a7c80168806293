/*
 * distkvm: from a connection to a peer that has proved itself
 *
 * A connection, dialed or accepted, exchanges greetings, and then each end
 * proves itself: by TLS, or by the user behind a Unix socket.  Until then not
 * one byte but the greeting is looked at.  All in one thread, that of the
 * context; nothing blocks.  Spec: docs/wire-format.rst, "Greeting".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_DOOR_H
#define DISTKVM_DOOR_H

#include "io/channel-socket.h"
#include "accel/distkvm/wire/greeting.h"

typedef struct Door Door;

/*
 * Called once, from the context; the door is gone then.  @ioc carries what
 * @node says, as it calls itself; its certificate, if it has one, is that of
 * the node that was dialed, or of @node.  The callee takes over the reference.
 * NULL: not let in, because of @why.
 */
typedef void DoorOpened(void *opaque, Door *door, QIOChannel *ioc,
                        CohNodeId node, const char *why);

/*
 * Takes a reference on @sioc.  @dialed: this node has dialed @peer; else the
 * peer has dialed and says in its greeting which node it is.
 */
Door *door_new(QIOChannelSocket *sioc, bool dialed, CohNodeId peer,
               GMainContext *context, DoorOpened *opened, void *opaque);
/* The other end has taken too long; DoorOpened is not called. */
void door_shut(Door *door);
/* Has the peer said a right greeting? */
bool door_is_greeted(const Door *door);
/* The other end's address as it may be shown; valid while the door is. */
const char *door_address(const Door *door);

#endif
