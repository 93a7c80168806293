/*
 * distkvm: the engine's part that knows how peers are reached
 *
 * Each lane has a transport, and each transport a way to every peer: an address
 * that it is given, or a stream that membership brings.  Lane n speaks with
 * lane n only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "engine-internal.h"

/* Before each lane's address: its length. */
#define ADDRESS_HEAD 2
/* A thread that does not do what membership asks of it by then hangs. */
#define HANG_MS 10000

/* ----------------------------------------------------------- addresses */

static void add_address(GByteArray *all, Engine *e)
{
    const TransportOps *ops = e->ctx.transport->ops;
    uint8_t head[ADDRESS_HEAD];
    const void *address;

    e->address_len = 0;
    if (ops->address) {
        address = ops->address(e->ctx.transport, &e->address_len);
        stw_le_p(head, e->address_len);
        g_byte_array_append(all, head, sizeof(head));
        g_byte_array_append(all, address, e->address_len);
    }
}

void engine_collect_addresses(Engine *e)
{
    g_byte_array_set_size(e->address, 0);
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        add_address(e->address, e->all[lane]);
    }
}

/*
 * Membership waits for these calls, and must go on to say that a thread does
 * not do them.  So what they look at is theirs, and stays if that happens.
 */
typedef struct ConnectCall {
    TransportNew *transport_new;
    TransportPeer peer;
    Cookie ours, theirs;
    uint8_t *address;
    Error *err;
    bool ok;
} ConnectCall;

static bool call_in_time(Engine *e, void (*fn)(Engine *, void *),
                         ConnectCall *c, Error **errp)
{
    bool ok;

    if (!mailbox_call(&e->mailbox, fn, c, HANG_MS)) {
        error_setg(errp, "distkvm: this node's engine thread (lane %u) hangs",
                   e->ctx.lane);
        return false;
    }
    ok = c->ok;
    error_propagate(errp, c->err);
    g_free(c->address);
    g_free(c);
    return ok;
}

static void call_transport(Engine *e, void *opaque)
{
    ConnectCall *c = opaque;
    Transport *t = c->transport_new(&engine_transport_listener, e, &c->err);

    c->ok = t;
    if (t) {
        e->ctx.transport->ops->destroy(e->ctx.transport);
        e->ctx.transport = t;
    }
}

bool engine_set_transport(Engine *e, TransportNew *transport_new, Error **errp)
{
    bool ok = true;

    for (unsigned lane = 0; ok && lane < e->ctx.config->lanes.n; lane++) {
        ConnectCall *c = g_new0(ConnectCall, 1);

        c->transport_new = transport_new;
        ok = call_in_time(e->all[lane], call_transport, c, errp);
    }
    engine_collect_addresses(e);
    return ok;
}

const void *engine_address(Engine *e, size_t *len)
{
    *len = e->address->len;
    return e->address->len ? e->address->data : NULL;
}

/* --------------------------------------------------------------- peers */

/* Each lane's address behind its length, two bytes, in order of lanes. */
static const uint8_t *lane_address(const TransportPeer *peer, unsigned lane,
                                   size_t *len)
{
    const uint8_t *at = peer->address, *end = at + peer->address_len;

    for (unsigned i = 0; end - at >= ADDRESS_HEAD; i++) {
        *len = lduw_le_p(at);
        at += ADDRESS_HEAD;
        if (*len > end - at) {
            return NULL;
        }
        if (i == lane) {
            return at;
        }
        at += *len;
    }
    return NULL;
}

static void note_path(Engine *e, CohNodeId peer)
{
    char *path = e->ctx.transport->ops->describe(e->ctx.transport, peer);
    Engine *front = e->front;

    QEMU_LOCK_GUARD(&front->lock);
    g_free(front->path[peer]);
    front->path[peer] = path;
}

static void call_connect(Engine *e, void *opaque)
{
    ConnectCall *c = opaque;
    TransportPeer peer = c->peer;

    peer.self = e->ctx.node->id;
    if (peer.address) {
        peer.address = lane_address(&c->peer, e->ctx.lane, &peer.address_len);
    }
    if (!peer.address == !e->address_len) {
        c->ok = e->ctx.transport->ops->connect(e->ctx.transport, &peer, &c->err);
    } else {
        error_setg(&c->err, "distkvm: node %d sent a malformed address",
                   peer.id);
    }
    alive_connected(&e->alive, peer.id);
    coh_set_remove(&e->expelled, peer.id);
    if (c->ok) {
        note_path(e, peer.id);
    }
    if (peer.stream) {
        object_unref(OBJECT(peer.stream));
    }
}

bool engine_connect_lane(Engine *e, unsigned lane, const TransportPeer *peer,
                         Error **errp)
{
    ConnectCall *c = g_new0(ConnectCall, 1);

    c->peer = *peer;
    if (peer->address) {
        c->ours = *peer->ours;
        c->theirs = *peer->theirs;
        c->address = g_memdup2(peer->address, peer->address_len);
        c->peer.ours = &c->ours;
        c->peer.theirs = &c->theirs;
        c->peer.address = c->address;
    }
    if (peer->stream) {
        object_ref(OBJECT(peer->stream));
    }
    return call_in_time(e->all[lane], call_connect, c, errp);
}

bool engine_connect(Engine *e, const TransportPeer *peer, Error **errp)
{
    bool ok = true;

    for (unsigned lane = 0; ok && lane < e->ctx.config->lanes.n; lane++) {
        ok = engine_connect_lane(e, lane, peer, errp);
    }
    return ok;
}

static void call_disconnect(Engine *e, void *opaque)
{
    e->ctx.transport->ops->disconnect(e->ctx.transport, GPOINTER_TO_UINT(opaque));
}

void engine_disconnect(Engine *e, CohNodeId peer)
{
    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_call(&e->all[lane]->mailbox, call_disconnect, GUINT_TO_POINTER(peer),
                        HANG_MS);
    }
}

char *engine_describe_peer(Engine *e, CohNodeId peer)
{
    QEMU_LOCK_GUARD(&e->lock);
    return g_strdup(e->path[peer] ?: "none");
}
