/*
 * distkvm: members, as other folders see them
 *
 * What other threads ask for is done by the member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "member.h"
#include "roster.h"

/* A closed lane is a loss unless the control connection says goodbye by then. */
#define GOODBYE_MS 500

void member_send(CohNodeId to, QDict *message)
{
    roster_tell(&mm.member[to], message);
    qobject_unref(message);
}

void member_broadcast(QDict *message)
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
