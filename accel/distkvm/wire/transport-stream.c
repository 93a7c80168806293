/*
 * distkvm: frames over streams of our own
 *
 * One connection for each pair of nodes and lane, of TCP or of a Unix socket,
 * with TLS inside or without; membership has made it and proved its other end.
 * Frames that leave together are a bunch, behind its length of four bytes,
 * little-endian.  Bytes are read in large pieces, and leave with one system
 * call for each bunch, also under TLS, whose records are collected here.
 * Engine thread only, no locks.
 * Spec: docs/architecture.rst, "Transport"; docs/wire-format.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/epoll.h>
#include <sys/socket.h>
#include "qapi/error.h"
#include "crypto/tlssession.h"
#include "io/channel-socket.h"
#include "io/channel-tls.h"
#include "qemu/bswap.h"
#include "wire.h"
#include "transport-stream.h"

#define LENGTH_BYTES 4
#define BUNCH_BYTES (LENGTH_BYTES + WIRE_BUNCH_MAX)
/* Room for a few bunches, so that one system call reads them. */
#define READ_BYTES (128 * 1024)
/* A peer that takes nothing for so long is lost before this is reached. */
#define BACKLOG_BYTES_MAX (256u << 20)
/*
 * The rest of the pass that read all, and the whole next pass, which is the
 * last before the engine sleeps and the descriptor tells.
 */
#define DRY_POLLS 2
/* More peers than these are asked for by one system call. */
#define ASK_EACH_MAX 2

typedef struct TransportStream TransportStream;

typedef struct StreamPeer {
    TransportStream *t;
    CohNodeId id;
    QIOChannel *ioc;            /* NULL: there is none */
    QCryptoTLSSession *tls;     /* of @ioc, or NULL */
    int fd;
    bool lost;
    unsigned dry;               /* polls that need not look: all was read */
    bool more;                  /* TLS: it may have more, already read */
    bool writes_wait;           /* epoll tells when there is room */

    uint8_t *raw;               /* TLS: as read, not yet decrypted */
    size_t raw_at, raw_len;
    uint8_t *in;                /* bunches, the last perhaps in part */
    size_t in_len;
    uint8_t *bunch;             /* to be sent, behind its length */
    size_t bunch_len;           /* with LENGTH_BYTES; 0: nothing */
    GByteArray *out;            /* bytes that the socket has not taken */
} StreamPeer;

struct TransportStream {
    Transport parent;
    const TransportListener *listener;
    void *opaque;
    int epoll_fd;
    bool corked;
    CohNodeSet peers;           /* that have a stream */
    CohNodeSet bunches;         /* whose bunch waits */
    StreamPeer peer[COH_NODES_MAX];
};

static TransportStream *stream_of(Transport *transport)
{
    return container_of(transport, TransportStream, parent);
}

static void stream_lose(StreamPeer *peer, const char *why)
{
    if (!peer->lost) {
        peer->lost = true;
        epoll_ctl(peer->t->epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
        peer->t->listener->lost(peer->t->opaque, peer->id, why);
    }
}

static void set_interest(StreamPeer *peer, bool writes_wait)
{
    struct epoll_event event = {
        .events = EPOLLIN | (writes_wait ? EPOLLOUT : 0),
        .data.u32 = peer->id,
    };

    if (peer->writes_wait != writes_wait) {
        peer->writes_wait = writes_wait;
        epoll_ctl(peer->t->epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
    }
}

/* -------------------------------------------------------------- sending */

/* Bytes of @buf that the socket takes now; 0: none, -1: it is gone. */
static ssize_t socket_send(StreamPeer *peer, const void *buf, size_t len)
{
    ssize_t sent = RETRY_ON_EINTR(send(peer->fd, buf, len,
                                       MSG_DONTWAIT | MSG_NOSIGNAL));

    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        stream_lose(peer, strerror(errno));
        return -1;
    }
    return MAX(sent, 0);
}

/* Send bytes that wait; the rest goes when there is room. */
static void flush_out(StreamPeer *peer)
{
    ssize_t sent;

    if (!peer->out->len || peer->lost) {
        return;
    }
    sent = socket_send(peer, peer->out->data, peer->out->len);
    if (sent == peer->out->len) {
        g_byte_array_set_size(peer->out, 0);
    } else if (sent > 0) {
        g_byte_array_remove_range(peer->out, 0, sent);
    }
    if (!peer->lost) {
        set_interest(peer, peer->out->len);
    }
}

static ssize_t tls_push(const char *buf, size_t len, void *opaque,
                        Error **errp)
{
    StreamPeer *peer = opaque;

    g_byte_array_append(peer->out, (const guint8 *)buf, len);
    return len;
}

static void send_encrypted(StreamPeer *peer, const uint8_t *buf, size_t len)
{
    Error *err = NULL;

    while (len) {
        ssize_t taken = qcrypto_tls_session_write(peer->tls, (const char *)buf,
                                                  len, &err);

        /* tls_push() takes all, so it never waits. */
        if (taken <= 0) {
            stream_lose(peer, err ? error_get_pretty(err)
                                  : "TLS cannot write");
            error_free(err);
            return;
        }
        buf += taken;
        len -= taken;
    }
    flush_out(peer);
}

static void send_plain(StreamPeer *peer, const uint8_t *buf, size_t len)
{
    ssize_t sent = peer->out->len ? 0 : socket_send(peer, buf, len);

    if (sent >= 0 && sent < len) {
        g_byte_array_append(peer->out, buf + sent, len - sent);
        set_interest(peer, true);
    }
}

static void send_bunch(StreamPeer *peer)
{
    size_t len = peer->bunch_len;

    coh_set_remove(&peer->t->bunches, peer->id);
    peer->bunch_len = 0;
    stl_le_p(peer->bunch, len - LENGTH_BYTES);
    if (peer->out->len > BACKLOG_BYTES_MAX) {
        stream_lose(peer, "it takes nothing that is sent to it");
        return;
    }
    if (peer->tls) {
        send_encrypted(peer, peer->bunch, len);
    } else {
        send_plain(peer, peer->bunch, len);
    }
}

static void stream_send(Transport *transport, CohNodeId id, const void *head,
                        size_t head_len, const void *payload,
                        size_t payload_len)
{
    TransportStream *t = stream_of(transport);
    StreamPeer *peer = &t->peer[id];
    uint8_t *at;

    if (!peer->ioc || peer->lost) {
        return;
    }
    if (peer->bunch_len + head_len + payload_len > BUNCH_BYTES) {
        send_bunch(peer);
        if (peer->lost) {
            return;
        }
    }
    if (!peer->bunch_len) {
        peer->bunch_len = LENGTH_BYTES;
        coh_set_add(&t->bunches, id);
    }
    at = peer->bunch + peer->bunch_len;
    memcpy(at, head, head_len);
    if (payload_len) {
        memcpy(at + head_len, payload, payload_len);
    }
    peer->bunch_len += head_len + payload_len;
    if (!t->corked) {
        send_bunch(peer);
    }
}

static void stream_cork(Transport *transport, bool cork)
{
    TransportStream *t = stream_of(transport);

    t->corked = cork;
    for (CohNodeId id = coh_set_next(&t->bunches, 0);
         !cork && id != COH_NODE_NONE;
         id = coh_set_next(&t->bunches, id + 1)) {
        send_bunch(&t->peer[id]);
    }
}

static void stream_push(Transport *transport, CohNodeId id)
{
    TransportStream *t = stream_of(transport);

    if (t->peer[id].bunch_len) {
        send_bunch(&t->peer[id]);
    }
}

/* ------------------------------------------------------------ receiving */

/* Bytes of the socket; 0: none now; -1: it is gone. */
static ssize_t socket_receive(StreamPeer *peer, void *buf, size_t len)
{
    ssize_t got = RETRY_ON_EINTR(recv(peer->fd, buf, len, MSG_DONTWAIT));

    if (got > 0) {
        peer->dry = got < len ? DRY_POLLS : 0;
        return got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        peer->dry = 0;
        return 0;
    }
    stream_lose(peer, got ? strerror(errno) : "its connection was closed");
    return -1;
}

static ssize_t tls_pull(char *buf, size_t len, void *opaque, Error **errp)
{
    StreamPeer *peer = opaque;
    ssize_t got;

    if (peer->raw_at == peer->raw_len) {
        got = peer->dry ? 0 : socket_receive(peer, peer->raw, READ_BYTES);
        if (got <= 0) {
            return got ? -1 : QCRYPTO_TLS_SESSION_ERR_BLOCK;
        }
        peer->raw_at = 0;
        peer->raw_len = got;
    }
    len = MIN(len, peer->raw_len - peer->raw_at);
    memcpy(buf, peer->raw + peer->raw_at, len);
    peer->raw_at += len;
    return len;
}

/* As socket_receive(), of decrypted bytes. */
static ssize_t tls_receive(StreamPeer *peer, uint8_t *buf, size_t len)
{
    size_t have = 0;

    while (have < len) {
        Error *err = NULL;
        ssize_t got = qcrypto_tls_session_read(peer->tls, (char *)buf + have,
                                               len - have, false, &err);

        if (got == QCRYPTO_TLS_SESSION_ERR_BLOCK) {
            break;
        }
        if (got <= 0) {
            stream_lose(peer, err ? error_get_pretty(err)
                                  : "its connection was closed");
            error_free(err);
            return -1;
        }
        have += got;
    }
    peer->more = have == len;
    return have;
}

/* Hand on whole bunches; an incomplete one waits for its rest. */
static bool take_bunches(StreamPeer *peer)
{
    size_t at = 0;
    bool any = false;

    while (peer->in_len - at >= LENGTH_BYTES && !peer->lost) {
        size_t len = ldl_le_p(peer->in + at);

        if (!len || len > WIRE_BUNCH_MAX) {
            stream_lose(peer, "it sent garbage");
            break;
        }
        if (peer->in_len - at < LENGTH_BYTES + len) {
            break;
        }
        peer->t->listener->frames(peer->t->opaque, peer->id,
                                  peer->in + at + LENGTH_BYTES, len);
        at += LENGTH_BYTES + len;
        any = true;
    }
    /* A listener may have closed this stream. */
    if (peer->ioc && at) {
        memmove(peer->in, peer->in + at, peer->in_len - at);
        peer->in_len -= at;
    }
    return any;
}

static bool poll_peer(StreamPeer *peer)
{
    ssize_t got;

    if (peer->lost) {
        return false;
    }
    got = peer->tls
          ? tls_receive(peer, peer->in + peer->in_len,
                        READ_BYTES - peer->in_len)
          : socket_receive(peer, peer->in + peer->in_len,
                           READ_BYTES - peer->in_len);
    /* TLS may have something to say itself, as when it changes keys. */
    flush_out(peer);
    if (got <= 0) {
        return false;
    }
    peer->in_len += got;
    take_bunches(peer);
    return true;
}

/* Which peers have something: the kernel says so with one call. */
static bool poll_many(TransportStream *t)
{
    struct epoll_event event[COH_NODES_MAX];
    int n = epoll_wait(t->epoll_fd, event, ARRAY_SIZE(event), 0);
    bool any = false;

    for (int i = 0; i < n; i++) {
        StreamPeer *peer = &t->peer[event[i].data.u32];

        if (event[i].events & EPOLLOUT) {
            flush_out(peer);
        }
        if (event[i].events & ~EPOLLOUT) {
            peer->dry = 0;
            any |= poll_peer(peer);
        }
    }
    for (CohNodeId id = coh_set_next(&t->peers, 0); id != COH_NODE_NONE;
         id = coh_set_next(&t->peers, id + 1)) {
        any |= t->peer[id].more && poll_peer(&t->peer[id]);
    }
    return any;
}

static bool stream_poll(Transport *transport)
{
    TransportStream *t = stream_of(transport);
    bool any = false;

    if (coh_set_count(&t->peers) > ASK_EACH_MAX) {
        return poll_many(t);
    }
    for (CohNodeId id = coh_set_next(&t->peers, 0); id != COH_NODE_NONE;
         id = coh_set_next(&t->peers, id + 1)) {
        StreamPeer *peer = &t->peer[id];

        if (peer->out->len) {
            flush_out(peer);
        }
        /* A short read has found the end: to look at once finds nothing. */
        if (peer->dry && !peer->more) {
            peer->dry--;
        } else {
            any |= poll_peer(peer);
        }
    }
    return any;
}

/* One peer needs no descriptor for many, which costs at each sleep. */
static int stream_wait_fd(Transport *transport)
{
    TransportStream *t = stream_of(transport);
    CohNodeId id = coh_set_next(&t->peers, 0);
    StreamPeer *peer = id == COH_NODE_NONE ? NULL : &t->peer[id];

    return peer && !peer->lost && !peer->writes_wait &&
           coh_set_is_only(&t->peers, id) ? peer->fd : t->epoll_fd;
}

/* The descriptor stays readable while a socket has something. */
static bool stream_arm(Transport *transport)
{
    TransportStream *t = stream_of(transport);
    bool more = false;

    for (CohNodeId id = coh_set_next(&t->peers, 0); id != COH_NODE_NONE;
         id = coh_set_next(&t->peers, id + 1)) {
        t->peer[id].dry = 0;
        more |= t->peer[id].more && !t->peer[id].lost;
    }
    return !more;
}

/* ----------------------------------------------------------- connecting */

static void stream_disconnect(Transport *transport, CohNodeId id)
{
    TransportStream *t = stream_of(transport);
    StreamPeer *peer = &t->peer[id];

    if (!peer->ioc) {
        return;
    }
    if (!peer->lost) {
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
    }
    qio_channel_close(peer->ioc, NULL);
    object_unref(OBJECT(peer->ioc));
    g_free(peer->raw);
    g_free(peer->in);
    g_free(peer->bunch);
    g_byte_array_unref(peer->out);
    coh_set_remove(&t->peers, id);
    coh_set_remove(&t->bunches, id);
    *peer = (StreamPeer) { .lost = true };
}

static bool stream_connect(Transport *transport, const TransportPeer *to,
                           Error **errp)
{
    TransportStream *t = stream_of(transport);
    StreamPeer *peer = &t->peer[to->id];
    QIOChannelTLS *tls = (QIOChannelTLS *)object_dynamic_cast(
        OBJECT(to->stream), TYPE_QIO_CHANNEL_TLS);
    QIOChannel *socket = tls ? tls->master : to->stream;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = to->id };

    stream_disconnect(transport, to->id);
    *peer = (StreamPeer) {
        .t = t, .id = to->id, .ioc = to->stream,
        .fd = QIO_CHANNEL_SOCKET(socket)->fd,
        .in = g_malloc(READ_BYTES), .bunch = g_malloc(BUNCH_BYTES),
        .out = g_byte_array_new(),
    };
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, peer->fd, &event)) {
        error_setg_errno(errp, errno, "distkvm: the stream to node %d cannot"
                         " be watched", to->id);
        peer->ioc = NULL;
        return false;
    }
    object_ref(OBJECT(to->stream));
    coh_set_add(&t->peers, to->id);
    if (tls) {
        peer->tls = tls->session;
        peer->raw = g_malloc(READ_BYTES);
        qcrypto_tls_session_set_callbacks(peer->tls, tls_push, tls_pull, peer);
    }
    return true;
}

static char *stream_describe(Transport *transport, CohNodeId id)
{
    StreamPeer *peer = &stream_of(transport)->peer[id];

    if (!peer->ioc || peer->lost) {
        return g_strdup("none");
    }
    return g_strdup(peer->tls ? "tls" : "stream");
}

static void stream_destroy(Transport *transport)
{
    TransportStream *t = stream_of(transport);

    for (CohNodeId id = 0; id < COH_NODES_MAX; id++) {
        stream_disconnect(transport, id);
    }
    close(t->epoll_fd);
    g_free(t);
}

static const TransportOps stream_ops = {
    .connect = stream_connect,
    .send = stream_send,
    .cork = stream_cork,
    .push = stream_push,
    .poll = stream_poll,
    .wait_fd = stream_wait_fd,
    .arm = stream_arm,
    .disconnect = stream_disconnect,
    .describe = stream_describe,
    .destroy = stream_destroy,
};

Transport *transport_stream_new(const TransportListener *listener,
                                void *opaque, Error **errp)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    TransportStream *t;

    if (fd < 0) {
        error_setg_errno(errp, errno, "distkvm: no descriptor for streams");
        return NULL;
    }
    t = g_new0(TransportStream, 1);
    t->parent.ops = &stream_ops;
    t->listener = listener;
    t->opaque = opaque;
    t->epoll_fd = fd;
    return &t->parent;
}
