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
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/wire/rules.h"
#include "accel/distkvm/wire/text.h"
#include "accel/distkvm/wire/transport-ucx.h"
#include "accel/distkvm/wire/transport-ucx-env.h"
#include "join.h"
#include "lane-streams.h"
#include "listen.h"
#include "membership.h"
#include "member.h"
#include "message.h"
#include "place.h"
#include "roster.h"

#define TICK_MS 200
/* A tick that is so late was not just delayed. */
#define STOPPED_MS (4 * TICK_MS)
/* A ping is answered if the last one was so long ago. */
#define PONG_MS (TICK_MS / 4)
/* Of pings on lanes, within dead-after-ms; and from one to the next, in ms. */
#define LANE_PINGS 4
#define LANE_PING_MS_MAX 1000
/* Shared memory grows rarely. */
#define GUARD_MS 1000
/* Clocks may be apart by the time after which a node is lost, and this. */
#define LEAP_SPARE_MS 1000

/* ------------------------------------------------------------ messages */

static const char *serve_ping(CohNodeId from, const MemberMessage *message)
{
    MemberMessage pong = { .type = MESSAGE_PONG };
    Member *m = &mm.member[from];

    /* A peer that asks all the time is not answered all the time. */
    if (member_now_ms() - m->ponged_ms < PONG_MS) {
        return NULL;
    }
    m->ponged_ms = member_now_ms();
    pong.u.pong = (MemberPong) {
        .sent = message->u.ping.sent, .boot = message->u.ping.boot,
        .clock = cluster_clock_ns(),
    };
    member_send(from, &pong);
    return NULL;
}

/* An answer counts from the ping that it answers. */
static const char *serve_pong(CohNodeId from, const MemberMessage *message)
{
    const MemberPong *pong = &message->u.pong;
    Member *m = &mm.member[from];
    int64_t now_ns = host_boottime_ns(), age_ns;

    if (pong->boot < 0 || pong->boot > now_ns) {
        return "it answers a ping that was not sent";
    }
    age_ns = now_ns - pong->boot;
    if (age_ns > distkvm->dead_after_ms * SCALE_MS) {
        return NULL;
    }
    m->answered_ms = MAX(m->answered_ms, member_now_ms() - age_ns / SCALE_MS);
    if (m->state == MEMBER_JOINED && mm.ops->answered) {
        mm.ops->answered(from, age_ns);
    }
    /* Time is node 0's; others only show that they live. */
    if (from == 0) {
        cluster_clock_sample(pong->sent, pong->clock, cluster_clock_host_ns());
    }
    return NULL;
}

static const char *serve_lost(CohNodeId from, const MemberMessage *message)
{
    int64_t node = message->u.lost.node;
    g_autofree char *shown = text_of_peer(message->u.lost.why);
    g_autofree char *text = NULL;

    if (node == distkvm->id) {
        return "it has expelled this node";
    }
    if (node < 0 || node >= distkvm->nodes) {
        return "it calls a node lost that is none";
    }
    if (mm.formed) {
        text = g_strdup_printf("node %d says: %s", from, shown);
        roster_lose(&mm.member[node], text);
    } else {
        /* For that node it had formed, and is over. */
        text = g_strdup_printf("node %d has lost node %d meanwhile (%s): start"
                               " all nodes again", from, (int)node, shown);
        roster_give_up(text);
    }
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_PING, MEMBER_THREAD, serve_ping },
    { MESSAGE_PONG, MEMBER_THREAD, serve_pong },
    { MESSAGE_LOST, MEMBER_THREAD, serve_lost },
};

static Phase phase_of(const Member *m)
{
    if (m->state == MEMBER_JOINED) {
        return mm.formed ? PHASE_FORMED : PHASE_JOINED;
    }
    return m->known ? PHASE_KNOWN : PHASE_GREETING;
}

/* The fault in it, or NULL; *@text may hold it. */
static const char *serve(Member *m, const char *type, const QDict *dict,
                         char **text)
{
    MemberMessage *message;
    Error *err = NULL;

    if (!strcmp(type, MemberMessageType_str(MESSAGE_HELLO))) {
        return join_answer(m, dict);
    }
    message = message_parse(dict, &err);
    if (message) {
        return member_serve(m->id, message);
    }
    *text = g_strdup_printf("it sent a malformed message ('%.32s': %s)",
                            type, error_get_pretty(err));
    error_free(err);
    return *text;
}

static void channel_message(void *opaque, Channel *c, const QDict *dict,
                            size_t len)
{
    const char *type = qdict_get_str(dict, "type");
    g_autofree char *text = NULL;
    Member *m = opaque;
    const char *why;

    if (!m) {
        listen_message(c, type, dict, len);
        return;
    }
    if (m->channel != c) {
        return;
    }
    qatomic_set(&m->heard_ms, member_now_ms());
    why = rules_message(type, len, m->id, distkvm->id, phase_of(m));
    if (why) {
        text = g_strdup_printf("it sent %s ('%.32s')", why, type);
        why = text;
    } else {
        why = serve(m, type, dict, &text);
    }
    if (why) {
        g_autofree char *shown = text_line(why);

        roster_lose(m, shown);
    }
}

static void channel_gone(void *opaque, Channel *c, const char *why)
{
    if (opaque) {
        const Member *m = opaque;

        /* TLS lets the dialing end go on before the other has checked it. */
        roster_lose(opaque, m->known || !credentials_use_tls() ? why
                    : "it closed the connection before its hello; if it does"
                      " not accept this node's certificate, its own messages"
                      " say why");
    } else {
        listen_gone(c);
    }
}

static const ChannelListener control_listener = {
    .message = channel_message,
    .closed = channel_gone,
};

/* --------------------------------------------------------------- clock */

static void ping(Member *m)
{
    const MemberMessage message = {
        .type = MESSAGE_PING,
        .u.ping = { .sent = cluster_clock_host_ns(),
                    .boot = host_boottime_ns() },
    };

    roster_send(m, &message);
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

            roster_lose(m, why);
            return;
        }
    }
    if (now - m->lanes_pinged_ms >= every) {
        m->lanes_pinged_ms = now;
        engine_ping(distkvm->engine, m->id);
    }
}

/* @stopped: this process was, and has not read messages of that time yet. */
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
        roster_lose(m, "it was silent for too long");
        return;
    }
    ping(m);
    if (m->state == MEMBER_JOINED && !qatomic_read(&distkvm->failed)) {
        if (now - m->answered_ms > distkvm->dead_after_ms) {
            roster_lose(m, "it has not answered a ping for too long");
            return;
        }
        check_lanes(m, now);
    }
}

static void check_own_lanes(void)
{
    int64_t limit_ns = distkvm->dead_after_ms * SCALE_MS;
    int lane;

    if (!mm.formed || mm.hangs || qatomic_read(&distkvm->failed)) {
        return;
    }
    engine_watch(distkvm->engine, limit_ns);
    /* Asked once: meanwhile it may go on. */
    lane = engine_hangs(distkvm->engine, limit_ns);
    if (lane >= 0) {
        roster_lane_hangs(lane);
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
        mm.ops->failed("this node was stopped for too long and has been"
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
    if (mm.formed && mm.ops->tick) {
        mm.ops->tick();
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

void membership_init(const MemberOps *ops)
{
    roster_init(ops);
}

void membership_start(void)
{
    g_autoptr(GSource) timer = g_timeout_source_new(TICK_MS);
    Error *err = NULL;

    member_register(services, ARRAY_SIZE(services));
    join_init();
    mm.control = &control_listener;
    mm.hello = mm.ops->hello();
    mm.place = place_make();
    cluster_clock_limit((distkvm->dead_after_ms + LEAP_SPARE_MS) * SCALE_MS);
    if (!listen_start(&err)) {
        roster_give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    g_source_set_priority(timer, G_PRIORITY_HIGH);
    g_source_set_callback(timer, tick, NULL, NULL);
    g_source_attach(timer, mm.context);
    qemu_thread_create(&mm.thread, "distkvm-member", member_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
