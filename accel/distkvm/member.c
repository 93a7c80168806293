/*
 * distkvm: membership
 *
 * The connection of the hello (member-join.c) stays open and carries control
 * messages and a heartbeat.  A peer is lost when its connection closes, its
 * heartbeat stops, or it breaks the rules.  Runs on a thread of its own; never
 * takes the BQL.  Spec: docs/architecture.rst, "Membership".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "lease.h"
#include "member-internal.h"
#include "trace.h"

#define TICK_MS 200

Membership mm;

QDict *member_message(const char *type)
{
    QDict *message = qdict_new();

    qdict_put_str(message, "type", type);
    return message;
}

MemberState member_state(CohNodeId id)
{
    return qatomic_read(&mm.member[id].state);
}

int64_t member_silence_ms(CohNodeId id)
{
    return member_now_ms() - qatomic_read(&mm.member[id].heard_ms);
}

void member_leaving(void)
{
    qatomic_set(&mm.leaving, true);
    lease_end();
}

int64_t member_last_tick_ms(void)
{
    return qatomic_read(&mm.tick_ms);
}

static void send_to(Member *m, const QDict *message)
{
    QEMU_LOCK_GUARD(&mm.lock);
    if (m->channel && qatomic_read(&m->state) == MEMBER_JOINED) {
        channel_send(m->channel, message);
    }
}

void member_send(CohNodeId to, QDict *message)
{
    send_to(&mm.member[to], message);
    qobject_unref(message);
}

void member_broadcast(QDict *message)
{
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        send_to(&mm.member[n], message);
    }
    qobject_unref(message);
}

/* ---------------------------------------------------------------- loss */

static void drop_channel(Member *m)
{
    Channel *c;

    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        c = m->channel;
        m->channel = NULL;
    }
    if (c) {
        channel_free(c);
    }
}

void member_lose(Member *m, const char *why)
{
    if (m->state == MEMBER_LOST || m->state == MEMBER_LEFT ||
        (m->state == MEMBER_ABSENT && m->id != distkvm->id)) {
        return;
    }
    drop_channel(m);
    if (qatomic_read(&mm.leaving)) {
        qatomic_set(&m->state, MEMBER_LEFT);
        control_peer_left(m->id);
    } else if (!mm.formed) {
        /* It may come back: nothing depends on it yet. */
        info_report("distkvm: node %d left before the guest started (%s)",
                    m->id, why);
        qatomic_set(&m->state, MEMBER_ABSENT);
        if (m->reachable) {
            engine_disconnect(distkvm->engine, m->id);
        }
        m->proved = m->reachable = m->ready = false;
    } else {
        const ClusterMap *map = &distkvm->map;
        g_autofree char *text = g_strdup_printf(
            "node %d (%s) is lost: %s; it ran %u vCPUs and was home of"
            " %" PRIu64 " MiB of RAM", m->id, distkvm->address[m->id], why,
            map->cpu_first[m->id + 1] - map->cpu_first[m->id],
            (map->page_first[m->id + 1] - map->page_first[m->id]) >>
            (20 - COH_PAGE_BITS));
        QDict *message = member_message("lost");

        qatomic_set(&m->state, MEMBER_LOST);
        qdict_put_int(message, "node", m->id);
        qdict_put_str(message, "why", why);
        member_broadcast(message);
        distkvm_fail(text);
    }
}

typedef struct Expel {
    CohNodeId peer;
    char *why;
} Expel;

static gboolean expel_in_context(gpointer opaque)
{
    Expel *x = opaque;

    member_lose(&mm.member[x->peer], x->why);
    g_free(x->why);
    g_free(x);
    return G_SOURCE_REMOVE;
}

void member_expel(CohNodeId peer, const char *why)
{
    Expel *x = g_new(Expel, 1);

    x->peer = peer;
    x->why = g_strdup(why);
    g_main_context_invoke(mm.context, expel_in_context, x);
}

/* ------------------------------------------------------------ messages */

static void member_ping(Member *m, const QDict *ping)
{
    QDict *pong = member_message("pong");

    qdict_put_int(pong, "sent", qdict_get_try_int(ping, "sent", 0));
    qdict_put_int(pong, "clock", cluster_clock_ns());
    member_send(m->id, pong);
}

static void member_pong(Member *m, const QDict *pong)
{
    int64_t sent = qdict_get_try_int(pong, "sent", 0);

    lease_granted(m->id, cluster_clock_host_ns() - sent);
    /* Time is node 0's; others only show that they live. */
    if (m->id == 0) {
        cluster_clock_sample(sent, qdict_get_try_int(pong, "clock", 0),
                             cluster_clock_host_ns());
    }
}

static void joined_message(Member *m, const char *type, const QDict *message)
{
    if (!strcmp(type, "ping")) {
        member_ping(m, message);
    } else if (!strcmp(type, "pong")) {
        member_pong(m, message);
    } else if (!strcmp(type, "lost")) {
        int64_t node = qdict_get_try_int(message, "node", -1);

        if (node >= 0 && node < distkvm->nodes && node != distkvm->id) {
            g_autofree char *why =
                channel_printable(qdict_get_try_str(message, "why") ?: "?");

            member_lose(&mm.member[node], why);
        } else if (node == distkvm->id) {
            member_lose(m, "it has expelled this node");
        }
    } else {
        control_message(m->id, message);
    }
}

static void channel_message(void *opaque, Channel *c, const QDict *message)
{
    const char *type = qdict_get_str(message, "type");
    Member *m = opaque;

    if (!m) {
        join_stranger_message(c, type, message);
        return;
    }
    qatomic_set(&m->heard_ms, member_now_ms());
    if (!join_message(m, type, message) && m->state == MEMBER_JOINED) {
        joined_message(m, type, message);
    }
}

static void channel_gone(void *opaque, Channel *c, const char *why)
{
    if (opaque) {
        member_lose(opaque, why);
    } else {
        join_stranger_gone(c);
    }
}

const ChannelListener member_channel_listener = {
    .message = channel_message,
    .closed = channel_gone,
};

/* --------------------------------------------------------------- clock */

static void tick_member(Member *m, int64_t now)
{
    g_autoptr(QDict) ping = NULL;

    switch (m->state) {
    case MEMBER_ABSENT:
        if (m->id < distkvm->id && !m->dialing && now >= m->dial_ms &&
            !mm.gave_up) {
            join_dial(m);
        }
        break;
    case MEMBER_GREETING:
        if (now - m->since_ms > HELLO_MS) {
            member_lose(m, "it did not complete its hello");
        }
        break;
    case MEMBER_JOINED:
        if (now - m->heard_ms > distkvm->dead_after_ms) {
            member_lose(m, "it was silent for too long");
            break;
        }
        ping = member_message("ping");
        qdict_put_int(ping, "sent", cluster_clock_host_ns());
        send_to(m, ping);
        break;
    default:
        break;
    }
}

static gboolean tick(gpointer unused)
{
    int64_t now = member_now_ms();
    int64_t late = mm.tick_ms ? now - mm.tick_ms : 0;

    qatomic_set(&mm.tick_ms, now);
    if (late > distkvm->dead_after_ms && mm.formed) {
        /* Stopped for so long that the others have given us up. */
        distkvm_fail("this node was stopped for too long and has been"
                     " expelled");
        return G_SOURCE_REMOVE;
    }
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id) {
            tick_member(&mm.member[n], now);
        }
    }
    join_tick(now);
    return G_SOURCE_CONTINUE;
}

static void *member_thread(void *unused)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(mm.context, false);

    g_main_context_push_thread_default(mm.context);
    g_main_loop_run(loop);
    return NULL;
}

void member_start(void)
{
    g_autoptr(GSource) timer = g_timeout_source_new(TICK_MS);
    Error *err = NULL;

    qemu_mutex_init(&mm.lock);
    mm.context = g_main_context_new();
    mm.hello = hello_make();
    mm.start_ms = member_now_ms();
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        mm.member[n].id = n;
    }

    if (!join_listen(&err)) {
        join_give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    g_source_set_callback(timer, tick, NULL, NULL);
    g_source_attach(timer, mm.context);
    qemu_thread_create(&mm.thread, "distkvm-member", member_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
