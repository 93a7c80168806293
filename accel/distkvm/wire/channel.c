/*
 * distkvm: JSON messages over a QIOChannel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "channel.h"

#define LENGTH_BYTES 4
#define READ_BYTES 16384
/* Bytes of messages that wait to be sent: more than all ROMs of a machine. */
#define OUT_BYTES_MAX (256u << 20)

struct Channel {
    QIOChannel *ioc;
    GMainContext *context;
    const ChannelListener *listener;
    void *opaque;
    size_t message_max;
    bool closed, dispatching, freed;
    bool choked;            /* atomic */
    GByteArray *in;
    GSource *reader;

    QemuMutex lock;
    GByteArray *out;        /* under lock */
    GSource *writer;        /* under lock */
};

static void channel_destroy(Channel *c)
{
    object_unref(OBJECT(c->ioc));
    g_byte_array_unref(c->in);
    g_byte_array_unref(c->out);
    qemu_mutex_destroy(&c->lock);
    g_free(c);
}

static void channel_closed(Channel *c, const char *why)
{
    if (!c->closed) {
        c->closed = true;
        c->listener->closed(c->opaque, c, why);
    }
}

/* True while there may be another whole message in the buffer. */
static bool channel_take_message(Channel *c)
{
    g_autoptr(GString) text = NULL;
    Error *err = NULL;
    QObject *object;
    uint32_t len;

    if (c->in->len < LENGTH_BYTES) {
        return false;
    }
    len = ldl_be_p(c->in->data);
    if (len > c->message_max) {
        channel_closed(c, "it sent a message that is too long, or garbage");
        return false;
    }
    if (c->in->len < LENGTH_BYTES + len) {
        return false;
    }
    text = g_string_new_len((char *)c->in->data + LENGTH_BYTES, len);
    g_byte_array_remove_range(c->in, 0, LENGTH_BYTES + len);
    object = memchr(text->str, 0, text->len) ? NULL
             : qobject_from_json(text->str, &err);
    error_free(err);
    if (!object || !qobject_to(QDict, object) ||
        !qdict_get_try_str(qobject_to(QDict, object), "type")) {
        qobject_unref(object);
        channel_closed(c, "it sent garbage");
        return false;
    }
    c->listener->message(c->opaque, c, qobject_to(QDict, object), len);
    qobject_unref(object);
    return !c->closed && !c->freed;
}

static gboolean channel_readable(QIOChannel *ioc, GIOCondition condition,
                                 gpointer opaque)
{
    Channel *c = opaque;
    Error *err = NULL;
    char buf[READ_BYTES];
    ssize_t len;

    /*
     * Not @ioc: under TLS that is the socket.  GnuTLS is not safe against
     * reading and writing at once when a session changes its keys.
     */
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        len = qio_channel_read(c->ioc, buf, sizeof(buf), &err);
    }
    if (len == QIO_CHANNEL_ERR_BLOCK) {
        return G_SOURCE_CONTINUE;
    }
    c->dispatching = true;
    if (len <= 0) {
        channel_closed(c, qatomic_read(&c->choked)
                          ? "it takes nothing that is sent to it"
                          : len ? error_get_pretty(err)
                                : "its connection was closed");
        error_free(err);
    } else {
        g_byte_array_append(c->in, (guint8 *)buf, len);
        while (channel_take_message(c)) {
            /* next */
        }
    }
    c->dispatching = false;
    if (c->freed) {
        channel_destroy(c);
        return G_SOURCE_REMOVE;
    }
    return c->closed ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/* Lock held.  Errors show up on the reading side. */
static void channel_write_locked(Channel *c)
{
    while (c->out->len) {
        ssize_t len = qio_channel_write(c->ioc, (char *)c->out->data,
                                        c->out->len, NULL);

        if (len == QIO_CHANNEL_ERR_BLOCK) {
            return;
        }
        g_byte_array_remove_range(c->out, 0, len > 0 ? len : c->out->len);
    }
}

static gboolean channel_writable(QIOChannel *ioc, GIOCondition condition,
                                 gpointer opaque)
{
    Channel *c = opaque;

    QEMU_LOCK_GUARD(&c->lock);
    channel_write_locked(c);
    if (c->out->len) {
        return G_SOURCE_CONTINUE;
    }
    g_source_unref(c->writer);
    c->writer = NULL;
    return G_SOURCE_REMOVE;
}

void channel_send(Channel *c, const QDict *message)
{
    g_autoptr(GString) text = qobject_to_json(QOBJECT(message));
    uint8_t length[LENGTH_BYTES];

    stl_be_p(length, text->len);
    QEMU_LOCK_GUARD(&c->lock);
    if (c->out->len > OUT_BYTES_MAX) {
        /* The reader finds the end of it. */
        qatomic_set(&c->choked, true);
        qio_channel_shutdown(c->ioc, QIO_CHANNEL_SHUTDOWN_BOTH, NULL);
        return;
    }
    g_byte_array_append(c->out, length, sizeof(length));
    g_byte_array_append(c->out, (guint8 *)text->str, text->len);
    if (!c->writer) {
        channel_write_locked(c);
        if (c->out->len) {
            c->writer = qio_channel_add_watch_source(c->ioc, G_IO_OUT,
                                                     channel_writable, c,
                                                     NULL, c->context);
        }
    }
}

Channel *channel_new(QIOChannel *ioc, GMainContext *context,
                     const ChannelListener *listener, void *opaque)
{
    Channel *c = g_new0(Channel, 1);

    c->ioc = ioc;
    object_ref(OBJECT(ioc));
    c->context = context;
    c->listener = listener;
    c->opaque = opaque;
    c->message_max = CHANNEL_HELLO_MAX;
    c->in = g_byte_array_new();
    c->out = g_byte_array_new();
    qemu_mutex_init(&c->lock);
    qio_channel_set_blocking(ioc, false, NULL);
    qio_channel_set_delay(ioc, false);
    c->reader = qio_channel_add_watch_source(ioc, G_IO_IN | G_IO_HUP,
                                             channel_readable, c, NULL,
                                             context);
    return c;
}

/* No source of it runs any more; its QIOChannel is the caller's. */
static void channel_stop(Channel *c)
{
    c->freed = true;
    c->closed = true;
    g_source_destroy(c->reader);
    g_source_unref(c->reader);
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        if (c->writer) {
            g_source_destroy(c->writer);
            g_source_unref(c->writer);
            c->writer = NULL;
        }
    }
}

void channel_free(Channel *c)
{
    channel_stop(c);
    qio_channel_close(c->ioc, NULL);
    if (!c->dispatching) {
        channel_destroy(c);
    }
}

QIOChannel *channel_steal(Channel *c)
{
    QIOChannel *ioc = c->ioc;

    if (c->in->len || c->out->len || c->closed || !c->dispatching) {
        return NULL;
    }
    object_ref(OBJECT(ioc));
    channel_stop(c);
    return ioc;
}

void channel_set_urgent(Channel *c)
{
    g_source_set_priority(c->reader, G_PRIORITY_HIGH);
}

void channel_set_trusted(Channel *c)
{
    c->message_max = CHANNEL_MESSAGE_MAX;
}

void channel_set_opaque(Channel *c, void *opaque)
{
    c->opaque = opaque;
}
