/*
 * distkvm: connections that have not said which node they are
 *
 * They cost a bounded number of descriptors and bytes for a bounded time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/text.h"
#include "message.h"
#include "roster.h"
#include "stranger.h"

/* At one time, besides all the cluster's own connections. */
#define STRANGERS_MAX 128
/* A refused peer may still read why. */
#define REFUSED_MS 1000

void stranger_forget(Stranger *s)
{
    g_queue_remove(&mm.strangers, s);
    g_free(s->address);
    g_free(s);
}

Stranger *stranger_of(const Channel *c)
{
    for (GList *at = mm.strangers.head; at; at = at->next) {
        Stranger *s = at->data;

        if (s->channel == c) {
            return s;
        }
    }
    return NULL;
}

void stranger_drop(Stranger *s)
{
    channel_free(s->channel);
    stranger_forget(s);
}

void stranger_add(QIOChannel *ioc, CohNodeId node, const char *address)
{
    Stranger *s;

    if (g_queue_get_length(&mm.strangers) >=
        STRANGERS_MAX + member_connections()) {
        stranger_drop(g_queue_peek_head(&mm.strangers));
    }
    s = g_new0(Stranger, 1);
    s->channel = channel_new(ioc, mm.context, mm.control, NULL);
    object_unref(OBJECT(ioc));
    s->node = node;
    s->address = g_strdup(address);
    s->end_ms = member_door_end_ms();
    g_queue_push_tail(&mm.strangers, s);
}

void stranger_refuse(Stranger *s, bool retry, const char *why)
{
    g_autofree char *shown = text_line(why);
    const MemberMessage message = {
        .type = MESSAGE_REFUSE,
        .u.refuse = { .why = shown, .retry = retry },
    };

    say_refusal("distkvm: node %d refused a peer at %s: %s", distkvm->id,
                s->address, shown);
    message_send(s->channel, &message);
    s->end_ms = member_now_ms() + REFUSED_MS;
}

void stranger_tick(int64_t now_ms)
{
    for (GList *at = mm.strangers.head, *next; at; at = next) {
        Stranger *s = at->data;

        next = at->next;
        if (now_ms > s->end_ms) {
            stranger_drop(s);
        }
    }
}
