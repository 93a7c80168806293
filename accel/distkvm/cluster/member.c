/*
 * distkvm: membership
 *
 * The connection of the hello (join.c) stays open and carries control
 * messages and a heartbeat; frames on every lane are pinged besides.  A peer is
 * lost when its connection closes, either heartbeat stops, it keeps a page for
 * too long, or it breaks the rules.  Runs on a thread of its own, which takes
 * no BQL and waits for no log.  Spec: docs/architecture.rst, "Membership".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/vmi/lease.h"
#include "member-internal.h"
#include "place.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/trace.h"

#define TICK_MS 200
/* A tick that is so late was not just delayed. */
#define STOPPED_MS (4 * TICK_MS)
/* A ping is answered if the last one was so long ago. */
#define PONG_MS (TICK_MS / 4)
/* Of pings on lanes, within dead-after-ms; and from one to the next, in ms. */
#define LANE_PINGS 4
#define LANE_PING_MS_MAX 1000
/* A closed lane is a loss unless the control connection says goodbye by then. */
#define GOODBYE_MS 500
/* Shared memory grows rarely. */
#define GUARD_MS 1000
/* Clocks may be apart by the time after which a node is lost, and this. */
#define LEAP_SPARE_MS 1000
/* A connection that ended is not dialed again at once. */
#define LEFT_DIAL_MS 300

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
    CohNodeSet members = distkvm_members();
    CohNodeId n;

    COH_SET_FOREACH(n, &members) {
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

static void lose_own_lane(int lane)
{
    g_autofree char *why = g_strdup_printf(
        "this node's engine thread (lane %d) hangs", lane);

    mm.hangs = true;
    member_lose(&mm.member[distkvm->id], why);
}

/* A peer that gives up a node, or is silent, may have its reason in the node. */
static int own_lane_at_fault(const Member *m)
{
    return mm.formed && !mm.hangs && m->id != distkvm->id &&
           !qatomic_read(&mm.leaving)
           ? engine_hangs(distkvm->engine,
                          distkvm->dead_after_ms * SCALE_MS / 2) : -1;
}

static void show_view(uint64_t number)
{
    View view = view_get(&distkvm->view);

    trace_distkvm_view(number, view.members.word[0]);
}

void member_in(Member *m)
{
    show_view(view_add(&distkvm->view, m->id));
}

static void member_out(Member *m)
{
    show_view(view_remove(&distkvm->view, m->id));
}

void member_lose(Member *m, const char *why)
{
    int lane = own_lane_at_fault(m);

    if (m->state == MEMBER_LOST || m->state == MEMBER_LEFT ||
        (m->state == MEMBER_ABSENT && m->id != distkvm->id)) {
        return;
    }
    if (lane >= 0) {
        lose_own_lane(lane);
        drop_channel(m);
        qatomic_set(&m->state, MEMBER_LEFT);
        member_out(m);
        return;
    }
    if (m->id == distkvm->id && !mm.formed) {
        join_give_up(why);
        return;
    }
    drop_channel(m);
    if (qatomic_read(&mm.leaving)) {
        qatomic_set(&m->state, MEMBER_LEFT);
        member_out(m);
        control_peer_left(m->id);
    } else if (!mm.formed) {
        /* It may come back: nothing depends on it yet. */
        if (g_strcmp0(m->why, why)) {
            say_refusal("distkvm: node %d left before the guest started (%s)",
                        m->id, why);
            g_free(m->why);
            m->why = g_strdup(why);
        }
        qatomic_set(&m->state, MEMBER_ABSENT);
        member_out(m);
        m->dial_ms = member_now_ms() + LEFT_DIAL_MS;
        if (m->known) {
            engine_disconnect(distkvm->engine, m->id);
        }
        join_forget(m);
    } else {
        g_autofree char *text = g_strdup_printf(
            "node %d (%s) is lost: %s; it ran %u vCPUs and was home of"
            " %" PRIu64 " MiB of RAM", m->id, distkvm->address[m->id], why,
            cpu_places_count(&distkvm->cpus, m->id),
            distkvm->map->share[m->id] >> (20 - COH_PAGE_BITS));
        QDict *message = member_message("lost");

        qatomic_set(&m->state, MEMBER_LOST);
        qdict_put_int(message, "node", m->id);
        qdict_put_str(message, "why", why);
        member_broadcast(message);
        distkvm_lost(m->id, why);
        distkvm_fail(text);
        /* Last: the other members never count as the whole cluster. */
        member_out(m);
    }
}

typedef struct Expel {
    CohNodeId peer;
    unsigned incarnation;
    char *why;
} Expel;

static gboolean expel_in_context(gpointer opaque)
{
    Expel *x = opaque;
    Member *m = &mm.member[x->peer];

    /* A peer that has come anew since is not to blame. */
    if (m->incarnation == x->incarnation) {
        member_lose(m, x->why);
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

/* ------------------------------------------------------------ messages */

static void member_ping(Member *m, const QDict *ping)
{
    QDict *pong;

    /* A peer that asks all the time is not answered all the time. */
    if (member_now_ms() - m->ponged_ms < PONG_MS) {
        return;
    }
    m->ponged_ms = member_now_ms();
    pong = member_message("pong");

    qdict_put_int(pong, "sent", qdict_get_try_int(ping, "sent", 0));
    qdict_put_int(pong, "boot", qdict_get_try_int(ping, "boot", 0));
    qdict_put_int(pong, "clock", cluster_clock_ns());
    member_send(m->id, pong);
}

/* An answer counts from the ping that it answers. */
static void member_pong(Member *m, const QDict *pong)
{
    int64_t sent = qdict_get_try_int(pong, "sent", 0);
    int64_t age_ns = host_boottime_ns() - qdict_get_try_int(pong, "boot", 0);

    if (age_ns < 0) {
        member_lose(m, "it answers a ping that was not sent");
        return;
    }
    if (age_ns > distkvm->dead_after_ms * SCALE_MS) {
        return;
    }
    m->answered_ms = MAX(m->answered_ms, member_now_ms() - age_ns / SCALE_MS);
    if (m->state == MEMBER_JOINED) {
        lease_granted(m->id, age_ns);
    }
    /* Time is node 0's; others only show that they live. */
    if (m->id == 0) {
        cluster_clock_sample(sent, qdict_get_try_int(pong, "clock", 0),
                             cluster_clock_host_ns());
    }
}

static void member_lost_message(Member *m, const QDict *message)
{
    int64_t node = qdict_get_try_int(message, "node", -1);

    if (node >= 0 && node < distkvm->nodes && node != distkvm->id) {
        g_autofree char *shown =
            channel_printable(qdict_get_try_str(message, "why") ?: "?");
        g_autofree char *why = g_strdup_printf("node %d says: %s", m->id,
                                               shown);

        if (!mm.formed) {
            /* For that node it had formed, and is over. */
            g_autofree char *text = g_strdup_printf(
                "node %d has lost node %d meanwhile (%s): start all nodes"
                " again", m->id, (int)node, shown);

            join_give_up(text);
            return;
        }
        member_lose(&mm.member[node], why);
    } else if (node == distkvm->id) {
        member_lose(m, "it has expelled this node");
    } else {
        member_lose(m, "it calls a node lost that is none");
    }
}

static Phase phase_of(const Member *m)
{
    if (m->state == MEMBER_JOINED) {
        return mm.formed ? PHASE_FORMED : PHASE_JOINED;
    }
    return m->known ? PHASE_KNOWN : PHASE_GREETING;
}

static void member_message_in(Member *m, const char *type,
                              const QDict *message)
{
    if (!strcmp(type, "ping")) {
        member_ping(m, message);
    } else if (!strcmp(type, "pong")) {
        member_pong(m, message);
    } else if (!strcmp(type, "lost")) {
        member_lost_message(m, message);
    } else if (!join_message(m, type, message)) {
        control_message(m->id, message);
    }
}

static void channel_message(void *opaque, Channel *c, const QDict *message,
                            size_t len)
{
    const char *type = qdict_get_str(message, "type");
    Member *m = opaque;
    const char *why;

    if (!m) {
        listen_message(c, type, message, len);
        return;
    }
    if (m->channel != c) {
        return;
    }
    qatomic_set(&m->heard_ms, member_now_ms());
    why = rules_message(type, len, m->id, distkvm->id, phase_of(m));
    if (why) {
        g_autofree char *shown = channel_printable(type);
        g_autofree char *text = g_strdup_printf("it sent %s ('%.32s')", why,
                                                shown);

        member_lose(m, text);
    } else {
        member_message_in(m, type, message);
    }
}

static void channel_gone(void *opaque, Channel *c, const char *why)
{
    if (opaque) {
        const Member *m = opaque;

        /* TLS lets the dialing end go on before the other has checked it. */
        member_lose(opaque, m->known || !credentials_use_tls() ? why
                    : "it closed the connection before its hello; if it does"
                      " not accept this node's certificate, its own messages"
                      " say why");
    } else {
        listen_gone(c);
    }
}

const ChannelListener member_channel_listener = {
    .message = channel_message,
    .closed = channel_gone,
};

/* --------------------------------------------------------------- clock */

static void ping(Member *m)
{
    QDict *message = member_message("ping");

    qdict_put_int(message, "sent", cluster_clock_host_ns());
    qdict_put_int(message, "boot", host_boottime_ns());
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        if (m->channel) {
            channel_send(m->channel, message);
        }
    }
    qobject_unref(message);
}

/* Frames are the guest's life: a lane that is silent is a loss. */
static void check_lanes(Member *m, int64_t now)
{
    int64_t every = MIN(distkvm->dead_after_ms / LANE_PINGS,
                        LANE_PING_MS_MAX);

    for (unsigned lane = 0; lane < distkvm->engine_config.lanes.n; lane++) {
        int64_t silent = now - engine_answered_ns(distkvm->engine, m->id,
                                                  lane) / SCALE_MS;

        if (silent > distkvm->dead_after_ms) {
            g_autofree char *path = engine_describe_peer(distkvm->engine,
                                                         m->id);
            g_autofree char *why = g_strdup_printf(
                "lane %u (%s) has not answered for %" PRId64 " ms", lane,
                path, silent);

            member_lose(m, why);
            return;
        }
    }
    if (now - m->lanes_pinged_ms >= every) {
        m->lanes_pinged_ms = now;
        engine_ping(distkvm->engine, m->id);
    }
}

/* @stopped: this process was, and what peers sent meanwhile is not read yet. */
static void tick_member(Member *m, int64_t now, bool stopped)
{
    if (!m->known || (m->state != MEMBER_JOINED &&
                      m->state != MEMBER_GREETING)) {
        return;
    }
    if (stopped) {
        ping(m);
        if (m->state == MEMBER_JOINED) {
            engine_ping(distkvm->engine, m->id);
        }
        return;
    }
    if (now - m->heard_ms > distkvm->dead_after_ms) {
        member_lose(m, "it was silent for too long");
        return;
    }
    ping(m);
    if (m->state == MEMBER_JOINED && !qatomic_read(&distkvm->failed)) {
        if (now - m->answered_ms > distkvm->dead_after_ms) {
            member_lose(m, "it has not answered a ping for too long");
            return;
        }
        check_lanes(m, now);
    }
}

static void check_own_lanes(void)
{
    int64_t limit_ns = distkvm->dead_after_ms * SCALE_MS;

    if (!mm.formed || mm.hangs || qatomic_read(&distkvm->failed)) {
        return;
    }
    engine_watch(distkvm->engine, limit_ns);
    if (engine_hangs(distkvm->engine, limit_ns) >= 0) {
        lose_own_lane(engine_hangs(distkvm->engine, limit_ns));
    }
}

static void guard_segments(int64_t now)
{
    if (mm.transport == transport_shm_new && now - mm.guarded_ms > GUARD_MS) {
        mm.guarded_ms = now;
        transport_shm_guard();
    }
}

static gboolean tick(gpointer unused)
{
    int64_t now = member_now_ms();
    int64_t late = mm.tick_ms ? now - mm.tick_ms : 0;

    qatomic_set(&mm.tick_ms, now);
    listen_tick(now);
    if (mm.expelled) {
        return G_SOURCE_CONTINUE;
    }
    if (late > distkvm->dead_after_ms && mm.formed) {
        /* Stopped for so long that the others have given us up. */
        distkvm_fail("this node was stopped for too long and has been"
                     " expelled");
        mm.expelled = true;
        return G_SOURCE_CONTINUE;
    }
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id) {
            tick_member(&mm.member[n], now, late > STOPPED_MS);
        }
    }
    check_own_lanes();
    guard_segments(now);
    join_tick(now);
    lanes_tick(now);
    if (mm.formed) {
        control_watch(distkvm->dead_after_ms);
    }
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
    mm.place = place_make();
    cluster_clock_limit((distkvm->dead_after_ms + LEAP_SPARE_MS) * SCALE_MS);
    mm.start_ms = member_now_ms();
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        mm.member[n].id = n;
    }

    if (!listen_start(&err)) {
        join_give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    g_source_set_priority(timer, G_PRIORITY_HIGH);
    g_source_set_callback(timer, tick, NULL, NULL);
    g_source_attach(timer, mm.context);
    qemu_thread_create(&mm.thread, "distkvm-member", member_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
