/*
 * distkvm: JSON messages over a QIOChannel
 *
 * A message is a JSON object of at most CHANNEL_MESSAGE_MAX bytes behind its
 * length, four bytes, big-endian.  Knows nothing of the meaning of messages.
 * Callbacks run in the context given at creation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CHANNEL_H
#define DISTKVM_CHANNEL_H

#include "io/channel.h"
#include "qobject/qdict.h"

#define CHANNEL_MESSAGE_MAX (1u << 20)
/* Until a peer is proved, it gets no more than this. */
#define CHANNEL_HELLO_MAX (16u << 10)

typedef struct Channel Channel;

typedef struct ChannelListener {
    /* @message, which took @len bytes, is valid during the call. */
    void (*message)(void *opaque, Channel *c, const QDict *message,
                    size_t len);
    /* No more messages, because of @why; the channel still must be freed. */
    void (*closed)(void *opaque, Channel *c, const char *why);
} ChannelListener;

/* Takes a reference on @ioc. */
Channel *channel_new(QIOChannel *ioc, GMainContext *context,
                     const ChannelListener *listener, void *opaque);
/* In the context's thread, also from within a callback. */
void channel_free(Channel *c);
/*
 * From within a callback, at the end of a message: give back the QIOChannel that
 * carries the messages.  The channel is gone then.  NULL if there are bytes
 * behind that message, or messages that have not left yet; the channel still
 * must be freed.
 */
QIOChannel *channel_steal(Channel *c);
/* Messages are handled before those of other channels. */
void channel_set_urgent(Channel *c);
/* Any thread; never blocks.  Does not take over @message. */
void channel_send(Channel *c, const QDict *message);
/* The peer is proved: full-sized messages from now on. */
void channel_set_trusted(Channel *c);
void channel_set_opaque(Channel *c, void *opaque);

#endif
