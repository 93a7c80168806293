/*
 * distkvm: from a connection to a peer that has proved itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io/task.h"
#include "qemu/sockets.h"
#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/node.h"
#include "door.h"

struct Door {
    QIOChannelSocket *sioc;
    bool dialed;
    CohNodeId peer;             /* as dialed, or as it claims */
    CohNodeId claims;           /* in its greeting */
    GMainContext *context;
    DoorOpened *opened;
    void *opaque;
    GSource *source;            /* of the greeting */
    uint8_t in[GREETING_BYTES];
    size_t have;                /* bytes in it */
    bool greeted, shaking, shut;
    char *address;
};

static void door_free(Door *door)
{
    if (door->source) {
        g_source_destroy(door->source);
        g_source_unref(door->source);
    }
    object_unref(OBJECT(door->sioc));
    g_free(door->address);
    g_free(door);
}

bool door_is_greeted(const Door *door)
{
    return door->greeted;
}

const char *door_address(const Door *door)
{
    return door->address;
}

static void door_open(Door *door, QIOChannel *ioc)
{
    door->opened(door->opaque, door, ioc, door->claims, NULL);
    door_free(door);
}

static void G_GNUC_PRINTF(2, 3) door_fail(Door *door, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    qio_channel_close(QIO_CHANNEL(door->sioc), NULL);
    door->opened(door->opaque, door, NULL, door->peer, why);
    door_free(door);
}

/* ---------------------------------------------------------- the address */

static bool peer_user(QIOChannelSocket *sioc, struct ucred *user)
{
    socklen_t len = sizeof(*user);

    return !getsockopt(sioc->fd, SOL_SOCKET, SO_PEERCRED, user, &len);
}

static char *remote_address(QIOChannelSocket *sioc)
{
    g_autoptr(SocketAddress) address =
        qio_channel_socket_get_remote_address(sioc, NULL);
    struct ucred user;

    if (!address) {
        return g_strdup("an unknown address");
    }
    if (address->type != SOCKET_ADDRESS_TYPE_UNIX) {
        return socket_uri(address);
    }
    return peer_user(sioc, &user)
           ? g_strdup_printf("process %d of user %u", user.pid, user.uid)
           : g_strdup("a Unix socket");
}

/* ------------------------------------------------------------------ TLS */

static void shaken(QIOTask *task, gpointer opaque)
{
    Door *door = opaque;
    QIOChannelTLS *tls = QIO_CHANNEL_TLS(qio_task_get_source(task));
    Error *err = NULL;
    bool failed = qio_task_propagate_error(task, &err);

    door->shaking = false;
    if (door->shut) {
        door_free(door);
    } else if (failed) {
        door_fail(door, "TLS handshake failed: %s", error_get_pretty(err));
    } else {
        object_ref(OBJECT(tls));
        door_open(door, QIO_CHANNEL(tls));
    }
    error_free(err);
}

static void shake_hands(Door *door)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[door->peer], &error_abort);
    Error *err = NULL;
    QIOChannelTLS *tls = credentials_tls(QIO_CHANNEL(door->sioc),
                                         !door->dialed,
                                         address->u.inet.host, &err);

    if (!tls) {
        door_fail(door, "TLS cannot be used: %s", error_get_pretty(err));
        error_free(err);
        return;
    }
    door->shaking = true;
    qio_channel_tls_handshake(tls, shaken, door, NULL, door->context);
    object_unref(OBJECT(tls));
}

/* ------------------------------------------------------------- greeting */

static bool send_greeting(Door *door)
{
    const Greeting ours = {
        .version = GREETING_VERSION,
        .security = credentials_security(),
        .node = distkvm->id,
    };
    uint8_t bytes[GREETING_BYTES];

    greeting_encode(&ours, bytes);
    /* A new connection has room for so little. */
    return qio_channel_write(QIO_CHANNEL(door->sioc), (char *)bytes,
                             sizeof(bytes), NULL) == sizeof(bytes);
}

/* The peer's greeting is here; the door is gone if it is not let in. */
static void got_greeting(Door *door)
{
    Greeting theirs;

    if (!greeting_decode(door->in, &theirs)) {
        door_fail(door, "it does not speak distkvm");
        return;
    }
    if (!door->dialed && !send_greeting(door)) {
        door_fail(door, "its connection was closed");
        return;
    }
    if (theirs.version != GREETING_VERSION) {
        door_fail(door, "it greets in version %u, this node in version %u:"
                  " run one version of distkvm on all nodes", theirs.version,
                  GREETING_VERSION);
        return;
    }
    if (theirs.security != credentials_security()) {
        door_fail(door, "it is secured by %s, this node by %s: give all nodes"
                  " the same", security_name(theirs.security),
                  security_name(credentials_security()));
        return;
    }
    /*
     * The later node dials.  That a dialed one is another than was thought is
     * looked at when it has proved itself: its certificate is that of @peer.
     */
    if (!door->dialed && (theirs.node >= distkvm->nodes ||
                          theirs.node <= distkvm->id)) {
        door_fail(door, theirs.node == distkvm->id
                  ? "two nodes have the id %u"
                  : "it says it is node %u, which does not dial this one",
                  theirs.node);
        return;
    }
    door->claims = theirs.node;
    if (!door->dialed) {
        door->peer = theirs.node;
    }
    door->greeted = true;
    if (credentials_use_tls()) {
        shake_hands(door);
    } else {
        object_ref(OBJECT(door->sioc));
        door_open(door, QIO_CHANNEL(door->sioc));
    }
}

static gboolean readable(QIOChannel *ioc, GIOCondition condition,
                         gpointer opaque)
{
    Door *door = opaque;
    ssize_t len = qio_channel_read(ioc, (char *)door->in + door->have,
                                   sizeof(door->in) - door->have, NULL);

    if (len == QIO_CHANNEL_ERR_BLOCK) {
        return G_SOURCE_CONTINUE;
    }
    if (len <= 0) {
        door_fail(door, "its connection was closed");
        return G_SOURCE_REMOVE;
    }
    door->have += len;
    if (door->have < sizeof(door->in)) {
        return G_SOURCE_CONTINUE;
    }
    g_source_unref(door->source);
    door->source = NULL;
    got_greeting(door);
    return G_SOURCE_REMOVE;
}

/* Is the process behind a Unix socket this user's? */
static bool is_our_user(Door *door)
{
    struct ucred user;

    return credentials_security() != SECURITY_UID ||
           (peer_user(door->sioc, &user) && user.uid == geteuid());
}

/* From the context, so that DoorOpened is never called by door_new(). */
static gboolean begin(gpointer opaque)
{
    Door *door = opaque;

    g_source_unref(door->source);
    door->source = NULL;
    if (!is_our_user(door)) {
        door_fail(door, "it belongs to another user (%s)", door->address);
    } else if (door->dialed && !send_greeting(door)) {
        door_fail(door, "its connection was closed");
    } else {
        door->source = qio_channel_add_watch_source(
            QIO_CHANNEL(door->sioc), G_IO_IN | G_IO_HUP, readable, door, NULL,
            door->context);
    }
    return G_SOURCE_REMOVE;
}

Door *door_new(QIOChannelSocket *sioc, bool dialed, CohNodeId peer,
               GMainContext *context, DoorOpened *opened, void *opaque)
{
    Door *door = g_new0(Door, 1);

    object_ref(OBJECT(sioc));
    qio_channel_set_blocking(QIO_CHANNEL(sioc), false, NULL);
    qio_channel_set_delay(QIO_CHANNEL(sioc), false);
    door->sioc = sioc;
    door->dialed = dialed;
    door->peer = peer;
    door->context = context;
    door->opened = opened;
    door->opaque = opaque;
    door->address = remote_address(sioc);
    door->source = g_idle_source_new();
    g_source_set_priority(door->source, G_PRIORITY_DEFAULT);
    g_source_set_callback(door->source, begin, door, NULL);
    g_source_attach(door->source, context);
    return door;
}

void door_shut(Door *door)
{
    if (door->shaking) {
        /* The handshake fails now, and frees it. */
        door->shut = true;
        qio_channel_shutdown(QIO_CHANNEL(door->sioc),
                             QIO_CHANNEL_SHUTDOWN_BOTH, NULL);
        return;
    }
    qio_channel_close(QIO_CHANNEL(door->sioc), NULL);
    door_free(door);
}
