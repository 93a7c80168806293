/*
 * distkvm: the part of a lane that knows how peers are reached
 *
 * Each lane has a transport, and each transport a way to every peer: an
 * address that it is given, or a stream that membership brings.  Lane n speaks
 * with lane n only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CONNECT_H
#define DISTKVM_CONNECT_H

#include "qemu/thread.h"
#include "inbox.h"

typedef struct Connect {
    LaneCtx *ctx;
    Alive *alive;
    Inbox *inbox;
    size_t address_len;         /* of this lane's address; 0: streams       */
    QemuMutex lock;             /* the next */
    char *path[COH_NODES_MAX];
} Connect;

/*
 * Use a new transport; no peer may be connected.  False and @errp if there is
 * none: the old one stays.  The lane's thread, or none runs yet.
 */
bool connect_set_transport(Connect *connect, TransportNew *transport_new,
                           Error **errp);
/*
 * Append this lane's address behind its length, two bytes; nothing if peers
 * bring streams.  The lane's thread must not change its transport meanwhile.
 */
void connect_append_address(Connect *connect, GByteArray *all);
/*
 * Make @peer reachable: by its addresses of all lanes, each as above, in
 * order; or by a stream.  The lane's thread.
 */
bool connect_peer(Connect *connect, const TransportPeer *peer, Error **errp);
/* The lane's thread. */
void connect_drop_peer(Connect *connect, CohNodeId peer);
/* The way to @peer, as of its connection, or NULL; g_free.  Any thread. */
char *connect_describe(Connect *connect, CohNodeId peer);

/* Frees the transport, too. */
extern const LanePart connect_part;

#endif
