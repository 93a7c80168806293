/*
 * distkvm: a stream for each lane
 *
 * The later node dials, as it does for the control connection, and says which
 * lane it is for, with the cookie it was given there.  So a lane belongs to
 * that connection, and another peer that may enter cannot take it.  After the
 * answer the stream is the engine's.  Member thread; never takes the BQL.
 * Spec: docs/wire-format.rst, "Lanes".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "qemu/sockets.h"
#include "accel/distkvm/wire/text.h"
#include "door.h"
#include "lane-streams.h"
#include "message.h"
#include "path.h"

/* A lane on its way; its member may have been lost meanwhile. */
typedef struct LaneDial {
    Member *m;
    unsigned incarnation;
    unsigned lane;
    int64_t end_ms;
    bool connecting;            /* by a thread that cannot be stopped */
    Door *door;                 /* then this, */
    Channel *channel;           /* then this; NULL before and after */
} LaneDial;

/* In a time that does not depend on where they differ. */
static bool cookie_is(const Cookie *cookie, const char *text)
{
    gsize len;
    g_autofree guchar *theirs = g_base64_decode(text, &len);
    uint8_t differs = 0;

    if (len != COOKIE_BYTES) {
        return false;
    }
    for (unsigned i = 0; i < COOKIE_BYTES; i++) {
        differs |= cookie->bytes[i] ^ theirs[i];
    }
    return !differs;
}

static bool give_to_engine(Member *m, unsigned lane, QIOChannel *ioc)
{
    const TransportPeer peer = { .id = m->id, .stream = ioc };
    Error *err = NULL;

    if (!engine_connect_lane(distkvm->engine, lane, &peer, &err)) {
        roster_lose(m, error_get_pretty(err));
        error_free(err);
        return false;
    }
    m->lanes |= 1u << lane;
    roster_step_done(m);
    m->reachable = m->lanes == (1u << distkvm->engine_config.lanes.n) - 1;
    mm.lanes_connected(m);
    return true;
}

/* --------------------------------------------------------------- dialing */

static void lane_free(LaneDial *d)
{
    g_queue_remove(&mm.lane_dials, d);
    if (d->door) {
        door_shut(d->door);
    }
    if (d->channel) {
        channel_free(d->channel);
    }
    g_free(d);
}

static bool is_current(const LaneDial *d)
{
    return d->m->incarnation == d->incarnation && d->m->known;
}

static void lane_failed(LaneDial *d, const char *why)
{
    if (is_current(d)) {
        g_autofree char *text = g_strdup_printf("lane %u: %s", d->lane, why);

        roster_lose(d->m, text);
    }
    lane_free(d);
}

static void lane_message(void *opaque, Channel *c, const QDict *dict,
                         size_t len)
{
    Error *err = NULL;
    g_autoptr(MemberMessage) message = message_parse(dict, &err);
    LaneDial *d = opaque;
    QIOChannel *ioc;

    if (!message) {
        lane_failed(d, error_get_pretty(err));
        error_free(err);
        return;
    }
    if (message->type != MESSAGE_LANE_TAKEN) {
        g_autofree char *why = text_of_peer(
            message->type == MESSAGE_REFUSE ? message->u.refuse.why
                                            : "it was refused");

        lane_failed(d, why);
        return;
    }
    ioc = channel_steal(c);
    if (!ioc) {
        lane_failed(d, "it sent frames too early");
        return;
    }
    d->channel = NULL;
    if (is_current(d)) {
        give_to_engine(d->m, d->lane, ioc);
    }
    object_unref(OBJECT(ioc));
    lane_free(d);
}

static void lane_closed(void *opaque, Channel *c, const char *why)
{
    lane_failed(opaque, why);
}

static const ChannelListener lane_listener = {
    .message = lane_message,
    .closed = lane_closed,
};

static void lane_opened(void *opaque, Door *door, QIOChannel *ioc,
                        CohNodeId node, const char *why)
{
    MemberMessage message = { .type = MESSAGE_LANE };
    g_autofree char *cookie = NULL;
    LaneDial *d = opaque;

    d->door = NULL;
    if (!ioc || !is_current(d)) {
        if (ioc) {
            object_unref(OBJECT(ioc));
        }
        lane_failed(d, why ?: "too late");
        return;
    }
    cookie = g_base64_encode(d->m->theirs.bytes, COOKIE_BYTES);
    message.u.lane = (MemberLane) {
        .node = distkvm->id, .lane = d->lane, .cookie = cookie,
    };
    d->channel = channel_new(ioc, mm.context, &lane_listener, d);
    object_unref(OBJECT(ioc));
    message_send(d->channel, &message);
}

static void lane_dialed(QIOTask *task, gpointer opaque)
{
    QIOChannelSocket *sioc = QIO_CHANNEL_SOCKET(qio_task_get_source(task));
    LaneDial *d = opaque;
    Error *err = NULL;

    d->connecting = false;
    d->end_ms = member_door_end_ms();
    if (qio_task_propagate_error(task, &err)) {
        lane_failed(d, error_get_pretty(err));
        error_free(err);
    } else {
        d->door = door_new(sioc, true, d->m->id, mm.context, lane_opened, d);
    }
    object_unref(OBJECT(sioc));
}

void lanes_dial(Member *m)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[m->id], &error_abort);

    for (unsigned lane = 0; lane < distkvm->engine_config.lanes.n; lane++) {
        LaneDial *d = g_new0(LaneDial, 1);

        d->m = m;
        d->incarnation = m->incarnation;
        d->lane = lane;
        d->connecting = true;
        g_queue_push_tail(&mm.lane_dials, d);
        qio_channel_socket_connect_async(qio_channel_socket_new(), address,
                                         lane_dialed, d, NULL, mm.context);
    }
}

void lanes_tick(int64_t now_ms)
{
    for (GList *at = mm.lane_dials.head, *next; at; at = next) {
        LaneDial *d = at->data;

        next = at->next;
        if (!d->connecting && now_ms > d->end_ms) {
            lane_failed(d, "it does not answer");
        }
    }
}

/* ------------------------------------------------------------- accepting */

void lanes_stranger(Stranger *s, const MemberLane *lane)
{
    const MemberMessage taken = { .type = MESSAGE_LANE_TAKEN };
    unsigned lanes = distkvm->engine_config.lanes.n;
    Member *m = &mm.member[s->node];
    QIOChannel *ioc;

    if (lane->node != s->node || !m->known || !m->address_sent ||
        !path_uses_streams() || lane->lane >= lanes ||
        (m->lanes & (1u << lane->lane)) ||
        !cookie_is(&m->ours, lane->cookie)) {
        stranger_refuse(s, false, "its lane belongs to no node here");
        return;
    }
    /* Before the engine has the stream: two threads must not write to it. */
    message_send(s->channel, &taken);
    ioc = channel_steal(s->channel);
    if (!ioc) {
        stranger_refuse(s, false, "it sent frames too early");
        return;
    }
    stranger_forget(s);
    give_to_engine(m, lane->lane, ioc);
    object_unref(OBJECT(ioc));
}
