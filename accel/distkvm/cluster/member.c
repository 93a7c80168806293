/*
 * distkvm: members, as other folders see them
 *
 * Calls of other threads are carried out by the member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "accel/distkvm/wire/rules.h"
#include "member.h"
#include "message.h"
#include "roster.h"
#include "accel/distkvm/trace.h"

/* A closed lane is a loss unless the control connection ends well by then. */
#define GOODBYE_MS 500

/* By type; constant once membership runs. */
static const MemberService *served[MESSAGE__MAX];

typedef struct Delivery {
    const MemberService *service;
    CohNodeId from;
    MemberMessage *message;
} Delivery;

/* ------------------------------------------------------------- receiving */

void member_register(const MemberService *services, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MemberMessageType type = services[i].type;

        g_assert(rules_know(MemberMessageType_str(type)) && !served[type]);
        served[type] = &services[i];
    }
}

static void deliver(void *opaque)
{
    Delivery *d = opaque;
    const char *why = d->service->serve(d->from, d->message);

    if (why) {
        member_expel(d->from, why);
    }
    qapi_free_MemberMessage(d->message);
    g_free(d);
}

const char *member_serve(CohNodeId from, MemberMessage *message)
{
    const MemberService *service = served[message->type];
    const char *why;
    Delivery *d;

    trace_distkvm_control(distkvm->id, from,
                          MemberMessageType_str(message->type));
    if (service && service->context != MEMBER_THREAD) {
        d = g_new(Delivery, 1);
        d->service = service;
        d->from = from;
        d->message = message;
        mm.ops->queue(service->context, deliver, d);
        return NULL;
    }
    why = service ? service->serve(from, message)
                  : "it sent a message of an unknown type";
    qapi_free_MemberMessage(message);
    return why;
}

/* --------------------------------------------------------------- sending */

void member_send(CohNodeId to, const MemberMessage *message)
{
    g_autoptr(QDict) dict = message_format(message);

    roster_tell(&mm.member[to], dict);
}

void member_say(CohNodeId to, MemberMessageType type)
{
    const MemberMessage message = { .type = type };

    member_send(to, &message);
}

void member_broadcast(const MemberMessage *message)
{
    roster_tell_all(message);
}

MemberState member_state(CohNodeId id)
{
    return qatomic_read(&mm.member[id].state);
}

int64_t member_silence_ms(CohNodeId id)
{
    return member_now_ms() - qatomic_read(&mm.member[id].heard_ms);
}

int64_t member_last_tick_ms(void)
{
    return qatomic_read(&mm.tick_ms);
}

void member_leaving(void)
{
    roster_leaving();
}

/* ------------------------------------------------------------ giving up */

typedef struct Expel {
    CohNodeId peer;
    unsigned incarnation;
    char *why;
} Expel;

static gboolean expel_in_context(gpointer opaque)
{
    Expel *x = opaque;
    Member *m = &mm.member[x->peer];

    if (x->peer == distkvm->id) {
        roster_broken(x->why);
    } else if (m->incarnation == x->incarnation) {
        /* A peer that has come anew since is not to blame. */
        roster_lose(m, x->why);
    }
    g_free(x->why);
    g_free(x);
    return G_SOURCE_REMOVE;
}

static void expel_after(CohNodeId peer, const char *why, unsigned ms)
{
    g_autoptr(GSource) source = ms ? g_timeout_source_new(ms)
                                   : g_idle_source_new();
    Expel *x = g_new(Expel, 1);

    x->peer = peer;
    x->incarnation = qatomic_read(&mm.member[peer].incarnation);
    x->why = g_strdup(why);
    g_source_set_priority(source, G_PRIORITY_HIGH);
    g_source_set_callback(source, expel_in_context, x, NULL);
    g_source_attach(source, mm.context);
}

void member_expel(CohNodeId peer, const char *why)
{
    expel_after(peer, why, 0);
}

void member_closed(CohNodeId peer, const char *why)
{
    expel_after(peer, why, GOODBYE_MS);
}

void member_broken(const char *why)
{
    expel_after(distkvm->id, why, 0);
}
