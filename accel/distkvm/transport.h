/*
 * distkvm: how frames travel
 *
 * An ops table, so that nobody above knows UCX.  Frames to one peer may
 * overtake one another; none is lost or repeated while the peer lives.
 * Every call but transport creation is made by the engine thread; no locks.
 * Knows nothing of what a frame means.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TRANSPORT_H
#define DISTKVM_TRANSPORT_H

#include "core/coh-types.h"

typedef struct Transport Transport;

/* Who hears of what arrives.  Called from within poll(). */
typedef struct TransportListener {
    /* One or more frames.  @buf is valid during the call only. */
    void (*frames)(void *opaque, const void *buf, size_t len);
    /* Nothing can be sent to @peer any more, because of @why. */
    void (*lost)(void *opaque, CohNodeId peer, const char *why);
} TransportListener;

typedef struct TransportOps {
    /* This node's address, for the hello; owned by the transport. */
    const void *(*address)(Transport *t, size_t *len);
    /* Make @peer reachable at @addr; the hello has proved it. */
    bool (*connect)(Transport *t, CohNodeId peer, const void *addr,
                    size_t len, Error **errp);
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
    /* What waits for @peer goes now. */
    void (*push)(Transport *t, CohNodeId peer);
    /* Receive and send what is ready; true if there was anything. */
    bool (*poll)(Transport *t);
    /* A descriptor that becomes readable when poll() has work, once armed. */
    int (*wait_fd)(Transport *t);
    /* False if there is work already: poll again instead of sleeping. */
    bool (*arm)(Transport *t);
    void (*disconnect)(Transport *t, CohNodeId peer);
    /* Names of the lanes in use to @peer, as "tcp" or "posix"; g_free. */
    char *(*describe)(Transport *t, CohNodeId peer);
    void (*destroy)(Transport *t);
} TransportOps;

struct Transport {
    const TransportOps *ops;
};

/* UCX, loaded when first needed.  NULL and @errp if it cannot be used. */
Transport *transport_ucx_new(const TransportListener *listener, void *opaque,
                             Error **errp);

#endif
