/*
 * distkvm: the part of a lane that knows how peers are reached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "connect.h"

/* Before each lane's address: its length. */
#define ADDRESS_HEAD 2

static void connect_init(void *part, LaneCtx *ctx)
{
    Connect *connect = part;

    connect->ctx = ctx;
    qemu_mutex_init(&connect->lock);
}

static void connect_free(void *part)
{
    Connect *connect = part;
    Transport *transport = connect->ctx->transport;

    if (transport) {
        transport->ops->destroy(transport);
    }
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        g_free(connect->path[n]);
    }
    qemu_mutex_destroy(&connect->lock);
}

bool connect_set_transport(Connect *connect, TransportNew *transport_new,
                           Error **errp)
{
    LaneCtx *ctx = connect->ctx;
    Transport *t = transport_new(&inbox_listener, connect->inbox, errp);

    if (!t) {
        return false;
    }
    if (ctx->transport) {
        ctx->transport->ops->destroy(ctx->transport);
    }
    ctx->transport = t;
    return true;
}

/* ------------------------------------------------------------- addresses */

void connect_append_address(Connect *connect, GByteArray *all)
{
    Transport *transport = connect->ctx->transport;
    uint8_t head[ADDRESS_HEAD];
    const void *address;

    connect->address_len = 0;
    if (transport->ops->address) {
        address = transport->ops->address(transport, &connect->address_len);
        stw_le_p(head, connect->address_len);
        g_byte_array_append(all, head, sizeof(head));
        g_byte_array_append(all, address, connect->address_len);
    }
}

/* The address of @lane among all of @peer, or NULL if that is malformed. */
static const uint8_t *lane_address(const TransportPeer *peer, unsigned lane,
                                   size_t *len)
{
    const uint8_t *at = peer->address, *end = at + peer->address_len;

    for (unsigned i = 0; end - at >= ADDRESS_HEAD; i++) {
        *len = lduw_le_p(at);
        at += ADDRESS_HEAD;
        if (*len > (size_t)(end - at)) {
            return NULL;
        }
        if (i == lane) {
            return at;
        }
        at += *len;
    }
    return NULL;
}

/* ----------------------------------------------------------------- peers */

static void note_path(Connect *connect, CohNodeId peer)
{
    Transport *transport = connect->ctx->transport;
    char *path = transport->ops->describe(transport, peer);

    QEMU_LOCK_GUARD(&connect->lock);
    g_free(connect->path[peer]);
    connect->path[peer] = path;
}

bool connect_peer(Connect *connect, const TransportPeer *of, Error **errp)
{
    Transport *transport = connect->ctx->transport;
    TransportPeer peer = *of;
    bool ok = false;

    peer.self = connect->ctx->node->id;
    if (peer.address) {
        peer.address = lane_address(of, connect->ctx->lane,
                                    &peer.address_len);
    }
    if (!peer.address == !connect->address_len) {
        ok = transport->ops->connect(transport, &peer, errp);
    } else {
        error_setg(errp, "distkvm: node %d sent a malformed address",
                   peer.id);
    }
    alive_connected(connect->alive, peer.id);
    inbox_admit(connect->inbox, peer.id);
    if (ok) {
        note_path(connect, peer.id);
    }
    return ok;
}

void connect_drop_peer(Connect *connect, CohNodeId peer)
{
    Transport *transport = connect->ctx->transport;

    transport->ops->disconnect(transport, peer);
}

char *connect_describe(Connect *connect, CohNodeId peer)
{
    QEMU_LOCK_GUARD(&connect->lock);
    return g_strdup(connect->path[peer]);
}

const LanePart connect_part = {
    .init = connect_init,
    .free = connect_free,
};
