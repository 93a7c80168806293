/*
 * distkvm: how frames travel
 *
 * An ops table, so that no part above knows UCX or sockets.  Frames to one peer
 * may overtake one another; none is lost or repeated while the peer lives.
 * The sender of a frame is proved by its connection, or by a cookie that only
 * that peer was given.
 * Every call but transport creation is made by the engine thread; no locks.
 * Knows nothing of the meaning of a frame.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TRANSPORT_H
#define DISTKVM_TRANSPORT_H

#include "io/channel.h"
#include "accel/distkvm/core/coh-types.h"

typedef struct Transport Transport;

/* Bytes that prove the sender to a node; random, for each ordered pair. */
#define COOKIE_BYTES 16

typedef struct Cookie {
    uint8_t bytes[COOKIE_BYTES];
} Cookie;

/* The receiver of frames and losses.  Called from within poll(). */
typedef struct TransportListener {
    /* One or more frames of @peer.  @buf is valid during the call only. */
    void (*frames)(void *opaque, CohNodeId peer, const void *buf, size_t len);
    /* Nothing can be sent to @peer any more, because of @why. */
    void (*lost)(void *opaque, CohNodeId peer, const char *why);
} TransportListener;

/* How a peer is reached: by its address, or by a stream that is there. */
typedef struct TransportPeer {
    CohNodeId id;
    CohNodeId self;             /* this node                                */
    const void *address;        /* NULL for a stream                        */
    size_t address_len;
    const Cookie *ours;         /* that the peer shows us                   */
    const Cookie *theirs;       /* that we show it                          */
    QIOChannel *stream;         /* proved; the transport takes a reference  */
} TransportPeer;

typedef struct TransportOps {
    /* This node's address, for its peers; NULL: peers bring streams. */
    const void *(*address)(Transport *t, size_t *len);
    /* Make a peer reachable that has proved itself. */
    bool (*connect)(Transport *t, const TransportPeer *peer, Error **errp);
    /*
     * Send @head and, if @payload_len, @payload.  Copies both; never blocks.
     * Frames to an unknown or lost peer are dropped.
     */
    void (*send)(Transport *t, CohNodeId peer, const void *head,
                 size_t head_len, const void *payload, size_t payload_len);
    /*
     * Until this is taken back, frames to one peer may wait for each other,
     * to go in one message.
     */
    void (*cork)(Transport *t, bool cork);
    /* Send now the frames that wait for @peer. */
    void (*push)(Transport *t, CohNodeId peer);
    /* Receive and send all frames that are ready; true if there were any. */
    bool (*poll)(Transport *t);
    /* A descriptor that becomes readable when poll() has work, once armed. */
    int (*wait_fd)(Transport *t);
    /* False if there is work already: poll again instead of sleeping. */
    bool (*arm)(Transport *t);
    void (*disconnect)(Transport *t, CohNodeId peer);
    /* The way to @peer, as "shm", "tls", "stream" or "tcp"; g_free. */
    char *(*describe)(Transport *t, CohNodeId peer);
    void (*destroy)(Transport *t);
} TransportOps;

struct Transport {
    const TransportOps *ops;
};

typedef Transport *TransportNew(const TransportListener *listener,
                                void *opaque, Error **errp);

#endif
