/*
 * distkvm: membership
 *
 * Every node dials the nodes before it and listens for the nodes after it.
 * A hello proves that a peer belongs; only then transport addresses are
 * exchanged and endpoints made.  From then on the connection carries control
 * messages and a heartbeat.  A peer is lost when its connection closes, its
 * heartbeat stops, or it breaks the rules.  Runs on a thread of its own; never
 * takes the BQL.  Spec: docs/architecture.rst, "Membership".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "io/net-listener.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/sockets.h"
#include "qemu/timer.h"
#include "system/iothread.h"
#include "system/runstate.h"
#include "channel.h"
#include "clock.h"
#include "distkvm-internal.h"
#include "trace.h"

#define TICK_MS 200
#define DIAL_MS 300
#define HELLO_MS 10000
#define PROGRESS_MS 5000

typedef struct Member {
    CohNodeId id;
    /* atomic */
    MemberState state;
    int64_t heard_ms;           /* atomic */
    bool dialing;
    int64_t dial_ms;            /* when to dial next */
    int64_t since_ms;           /* of the connection */
    bool reachable;             /* our endpoint to it is made */
    bool ready;                 /* its endpoint to us is made */
    Channel *channel;           /* under lock */
} Member;

static struct {
    IOThread *thread;
    GMainContext *context;
    QIONetListener *listener;
    QDict *hello;
    QemuMutex lock;             /* channel pointers */
    Member member[COH_NODES_MAX];
    GSList *strangers;          /* Channels without a proved node */
    int64_t start_ms, progress_ms, tick_ms;
    bool formed, gave_up;
    bool leaving;               /* atomic */
} mm;

static const ChannelListener channel_listener;

static int64_t now_ms(void)
{
    return get_clock() / SCALE_MS;
}

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
    return now_ms() - qatomic_read(&mm.member[id].heard_ms);
}

void member_leaving(void)
{
    qatomic_set(&mm.leaving, true);
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

void member_flush(int64_t ms)
{
    int64_t end = now_ms() + ms;

    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        bool done = false;

        while (!done && now_ms() < end) {
            WITH_QEMU_LOCK_GUARD(&mm.lock) {
                Channel *c = mm.member[n].channel;

                done = !c || channel_is_flushed(c);
            }
            if (!done) {
                g_usleep(1000);
            }
        }
    }
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

static void lose(Member *m, const char *why)
{
    if (m->state == MEMBER_LOST || m->state == MEMBER_LEFT) {
        return;
    }
    drop_channel(m);
    if (qatomic_read(&mm.leaving)) {
        qatomic_set(&m->state, MEMBER_LEFT);
        if (m->id == 0) {
            control_message(0, NULL);
        }
    } else if (!mm.formed) {
        /* It may come back: nothing depends on it yet. */
        info_report("distkvm: node %d left before the guest started (%s)",
                    m->id, why);
        qatomic_set(&m->state, MEMBER_ABSENT);
        m->reachable = m->ready = false;
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

    lose(&mm.member[x->peer], x->why);
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

/* This node cannot join: say so and end, which start-up may do. */
static void give_up(const char *why)
{
    if (!mm.gave_up && !mm.formed) {
        mm.gave_up = true;
        error_report("distkvm: node %d cannot join: %s", distkvm->id, why);
        member_leaving();
        qemu_system_shutdown_request_with_code(SHUTDOWN_CAUSE_HOST_ERROR, 1);
    }
}

/* --------------------------------------------------------------- hello */

static void refuse(Channel *c, const char *why)
{
    g_autoptr(QDict) message = member_message("refuse");

    warn_report("distkvm: node %d refused a peer: %s", distkvm->id, why);
    qdict_put_str(message, "why", why);
    channel_send(c, message);
}

/*
 * The peer is refused, but gets our hello first, so that it finds and names
 * the difference itself.
 */
static void stranger_hello(Channel *c, const QDict *hello)
{
    Error *err = NULL;
    CohNodeId from;
    Member *m;

    channel_send(c, mm.hello);
    if (!hello_check(hello, &from, &err)) {
        refuse(c, error_get_pretty(err));
        error_free(err);
        return;
    }
    m = &mm.member[from];
    if (m->channel || m->state == MEMBER_LOST || m->state == MEMBER_LEFT) {
        g_autofree char *why =
            g_strdup_printf("the id %d is taken by the node at %s", from,
                            distkvm->address[from]);
        refuse(c, why);
        return;
    }
    mm.strangers = g_slist_remove(mm.strangers, c);
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        m->channel = c;
    }
    channel_set_opaque(c, m);
    channel_set_trusted(c);
    m->since_ms = now_ms();
    qatomic_set(&m->heard_ms, now_ms());
    qatomic_set(&m->state, MEMBER_GREETING);
}

static void send_address(Member *m)
{
    g_autoptr(QDict) message = member_message("address");
    size_t len;
    const void *address = engine_address(distkvm->engine, &len);
    g_autofree char *text = g_base64_encode(address, len);

    qdict_put_str(message, "ucx", text);
    QEMU_LOCK_GUARD(&mm.lock);
    if (m->channel) {
        channel_send(m->channel, message);
    }
}

static void member_hello(Member *m, const QDict *hello)
{
    Error *err = NULL;
    CohNodeId from;

    if (!hello_check(hello, &from, &err)) {
        give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    if (from != m->id) {
        g_autofree char *why =
            g_strdup_printf("%s is node %d, not node %d",
                            distkvm->address[m->id], from, m->id);
        give_up(why);
        return;
    }
    channel_set_trusted(m->channel);
    send_address(m);
}

static void member_address(Member *m, const QDict *message)
{
    const char *text = qdict_get_try_str(message, "ucx") ?: "";
    g_autoptr(QDict) ready = member_message("ready");
    g_autofree guchar *address = NULL;
    Error *err = NULL;
    gsize len;

    if (m->reachable) {
        return;
    }
    address = g_base64_decode(text, &len);
    if (!engine_connect(distkvm->engine, m->id, address, len, &err)) {
        give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    /* Whoever dialed has sent its own address already. */
    if (m->id > distkvm->id) {
        send_address(m);
    }
    m->reachable = true;
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        channel_send(m->channel, ready);
    }
}

static void formed_in_main_loop(void *unused)
{
    control_formed();
}

static void check_joined(Member *m)
{
    if (!m->reachable || !m->ready || m->state == MEMBER_JOINED) {
        return;
    }
    qatomic_set(&m->state, MEMBER_JOINED);
    info_report("distkvm: node %d: node %d (%s) joined", distkvm->id, m->id,
                distkvm->address[m->id]);
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id && member_state(n) != MEMBER_JOINED) {
            return;
        }
    }
    mm.formed = true;
    service_queue_main(formed_in_main_loop, NULL);
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
    /* Time is node 0's; others only show that they live. */
    if (m->id == 0) {
        cluster_clock_sample(qdict_get_try_int(pong, "sent", 0),
                             qdict_get_try_int(pong, "clock", 0),
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
            lose(&mm.member[node], qdict_get_try_str(message, "why") ?: "?");
        } else if (node == distkvm->id) {
            lose(m, "it has expelled this node");
        }
    } else {
        control_message(m->id, message);
    }
}

static void channel_message(void *opaque, Channel *c, const QDict *message)
{
    const char *type = qdict_get_str(message, "type");
    Member *m = opaque;

    if (m) {
        qatomic_set(&m->heard_ms, now_ms());
    }
    if (!strcmp(type, "hello")) {
        if (!m) {
            stranger_hello(c, message);
        } else if (m->id < distkvm->id) {
            member_hello(m, message);
        }
    } else if (!m) {
        /* Not proved yet: nothing it says counts. */
    } else if (!strcmp(type, "refuse")) {
        g_autofree char *why =
            g_strdup_printf("node %d refuses it: %s", m->id,
                            qdict_get_try_str(message, "why") ?: "?");
        give_up(why);
    } else if (!strcmp(type, "address")) {
        member_address(m, message);
        check_joined(m);
    } else if (!strcmp(type, "ready")) {
        m->ready = true;
        check_joined(m);
    } else if (m->state == MEMBER_JOINED) {
        joined_message(m, type, message);
    }
}

static void channel_gone(void *opaque, Channel *c, const char *why)
{
    Member *m = opaque;

    if (m) {
        lose(m, why);
    } else {
        mm.strangers = g_slist_remove(mm.strangers, c);
        channel_free(c);
    }
}

static const ChannelListener channel_listener = {
    .message = channel_message,
    .closed = channel_gone,
};

/* ----------------------------------------------------------- connecting */

static void accepted(QIONetListener *listener, QIOChannelSocket *sioc,
                     gpointer unused)
{
    Channel *c = channel_new(QIO_CHANNEL(sioc), mm.context, &channel_listener,
                             NULL);

    mm.strangers = g_slist_prepend(mm.strangers, c);
}

static void dialed(QIOTask *task, gpointer opaque)
{
    Member *m = opaque;
    QIOChannel *ioc = QIO_CHANNEL(qio_task_get_source(task));

    m->dialing = false;
    if (qio_task_propagate_error(task, NULL)) {
        object_unref(OBJECT(ioc));
        return;
    }
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        m->channel = channel_new(ioc, mm.context, &channel_listener, m);
        channel_send(m->channel, mm.hello);
    }
    object_unref(OBJECT(ioc));
    m->since_ms = now_ms();
    qatomic_set(&m->heard_ms, now_ms());
    qatomic_set(&m->state, MEMBER_GREETING);
}

static void dial(Member *m)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[m->id], &error_abort);

    m->dialing = true;
    m->dial_ms = now_ms() + DIAL_MS;
    qio_channel_socket_connect_async(qio_channel_socket_new(), address,
                                     dialed, m, NULL, mm.context);
}

/* --------------------------------------------------------------- clock */

static void report_missing(int64_t now)
{
    g_autoptr(GString) missing = g_string_new(NULL);

    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id && member_state(n) != MEMBER_JOINED) {
            g_string_append_printf(missing, "%snode %d (%s)",
                                   missing->len ? ", " : "", n,
                                   distkvm->address[n]);
        }
    }
    if (now - mm.start_ms > distkvm->join_timeout_ms) {
        g_autofree char *why =
            g_strdup_printf("%s did not join within %" PRId64 " s",
                            missing->str, distkvm->join_timeout_ms / 1000);
        give_up(why);
    } else if (now >= mm.progress_ms) {
        info_report("distkvm: node %d waits for %s", distkvm->id,
                    missing->str);
        mm.progress_ms = now + PROGRESS_MS;
    }
}

static void tick_member(Member *m, int64_t now)
{
    g_autoptr(QDict) ping = NULL;

    switch (m->state) {
    case MEMBER_ABSENT:
        if (m->id < distkvm->id && !m->dialing && now >= m->dial_ms &&
            !mm.gave_up) {
            dial(m);
        }
        break;
    case MEMBER_GREETING:
        if (now - m->since_ms > HELLO_MS) {
            lose(m, "it did not complete its hello");
        }
        break;
    case MEMBER_JOINED:
        if (now - m->heard_ms > distkvm->dead_after_ms) {
            lose(m, "it was silent for too long");
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
    int64_t now = now_ms();
    int64_t late = mm.tick_ms ? now - mm.tick_ms : 0;

    mm.tick_ms = now;
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
    if (!mm.formed && !mm.gave_up) {
        report_missing(now);
    }
    return G_SOURCE_CONTINUE;
}

void member_start(void)
{
    g_autoptr(SocketAddress) address = NULL;
    g_autoptr(GSource) timer = g_timeout_source_new(TICK_MS);
    Error *err = NULL;

    qemu_mutex_init(&mm.lock);
    mm.thread = iothread_create("distkvm-member", &error_abort);
    mm.context = iothread_get_g_main_context(mm.thread);
    mm.hello = hello_make();
    mm.start_ms = now_ms();
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        mm.member[n].id = n;
    }

    address = socket_parse(distkvm->address[distkvm->id], &error_abort);
    mm.listener = qio_net_listener_new();
    qio_net_listener_set_name(mm.listener, "distkvm-listener");
    if (qio_net_listener_open_sync(mm.listener, address, distkvm->nodes,
                                   &err) < 0) {
        give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    qio_net_listener_set_client_func_full(mm.listener, accepted, NULL, NULL,
                                          mm.context);
    g_source_set_callback(timer, tick, NULL, NULL);
    g_source_attach(timer, mm.context);
}
