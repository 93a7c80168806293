/*
 * distkvm: how peers become members
 *
 * The later node dials the earlier one.  Behind the door they exchange hellos
 * and compare them.  Once all nodes are known, and with them the transport,
 * each pair exchanges addresses, connects its lanes, and shows that frames wake
 * a sleeper at either end; then it has joined.  A step that fails, or takes too
 * long, ends the connection; the dialing node tries again until join-timeout.
 * Member thread; never takes the BQL.
 * Spec: docs/wire-format.rst, "Joining".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/random.h"
#include "io/channel-socket.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/sockets.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/text.h"
#include "hello.h"
#include "join.h"
#include "lane-streams.h"
#include "member.h"
#include "path.h"
#include "place.h"

/* From one step of joining to the next. */
#define STEP_MS 10000
#define DIAL_MS 300
#define PROGRESS_MS 5000
/* From one ping to the next while frames are tried. */
#define TRY_MS 10
/* A dead node is given up after dead-after-ms and a tick or two. */
#define GIVEN_UP_MS 2000

/* --------------------------------------------------------------- hello */

/* The reason in @hello against shared memory with its node, or NULL. */
static char *why_apart(const QDict *hello)
{
    const char *differs = place_differs(mm.place,
                                        qdict_get_qdict(hello, "place"));

    if (differs) {
        return g_strdup_printf("runs in another place (%s)", differs);
    }
    return qdict_get_try_bool(hello, "shm", false)
           ? NULL : g_strdup("cannot set up shared memory");
}

static bool all_are_known(void)
{
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id && !mm.member[n].known) {
            return false;
        }
    }
    return true;
}

/* Its hello was right. */
static void become_known(Member *m, const QDict *hello)
{
    Error *err = NULL;

    if (qcrypto_random_bytes(&m->ours, sizeof(m->ours), &err)) {
        roster_give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    if (mm.ops->accepted) {
        mm.ops->accepted(hello, m->id);
    }
    m->apart = why_apart(hello);
    m->misleads = place_misleads(mm.place, qdict_get_qdict(hello, "place"));
    m->known = true;
    channel_set_trusted(m->channel);
    channel_set_urgent(m->channel);
    roster_step_done(m);
    if (all_are_known() && path_decide()) {
        for (CohNodeId n = 0; n < distkvm->nodes; n++) {
            if (n != distkvm->id) {
                roster_step_done(&mm.member[n]);
                join_proceed(&mm.member[n]);
            }
        }
    }
}

static void attach(Member *m, Channel *c, const char *address)
{
    roster_forget(m);
    m->address = g_strdup(address);
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        m->channel = c;
    }
    channel_set_opaque(c, m);
    roster_step_done(m);
    qatomic_set(&m->heard_ms, member_now_ms());
    qatomic_set(&m->state, MEMBER_GREETING);
}

/* May @s be @m?  Else it is told so. */
static bool may_attach(Stranger *s, Member *m)
{
    g_autofree char *why = NULL;

    if (m->state == MEMBER_LOST || m->state == MEMBER_LEFT) {
        why = g_strdup_printf("node %d is lost, and with it this guest: quit"
                              " all nodes and start them again", m->id);
        stranger_refuse(s, false, why);
        return false;
    }
    if (m->channel) {
        why = g_strdup_printf("the id %d is taken by the node at %s", m->id,
                              m->address);
        stranger_refuse(s, !mm.formed, why);
        return false;
    }
    return true;
}

static bool hello_fits(const QDict *hello, CohNodeId *from, Error **errp)
{
    return hello_check(mm.hello, hello, from, errp) &&
           (!mm.ops->agrees ||
            mm.ops->agrees(mm.hello, hello, *from, errp));
}

/*
 * The peer is refused, but gets our hello first, so that it finds and names
 * the fact that differs itself.
 */
void join_hello(Stranger *s, const QDict *hello)
{
    Error *err = NULL;
    CohNodeId from;
    Channel *c = s->channel;
    Member *m;

    channel_send(c, mm.hello);
    if (!hello_fits(hello, &from, &err)) {
        stranger_refuse(s, false, error_get_pretty(err));
        error_free(err);
        return;
    }
    m = &mm.member[from];
    if (from != s->node) {
        stranger_refuse(s, false, "its hello is not of the node that greeted");
    } else if (may_attach(s, m)) {
        attach(m, c, s->address);
        stranger_forget(s);
        become_known(m, hello);
    }
}

const char *join_answer(Member *m, const QDict *hello)
{
    Error *err = NULL;
    CohNodeId from;

    if (m->known || m->id > distkvm->id) {
        return "it sent its hello twice";
    }
    if (!hello_fits(hello, &from, &err)) {
        roster_give_up(error_get_pretty(err));
        error_free(err);
    } else if (from != m->id) {
        g_autofree char *why =
            g_strdup_printf("%s is node %d, not node %d",
                            distkvm->address[m->id], from, m->id);
        roster_give_up(why);
    } else {
        become_known(m, hello);
    }
    return NULL;
}

static void note_why(Member *m, const char *why)
{
    g_free(m->why);
    m->why = text_line(why);
}

/*
 * "retry": the place is taken by a node that may be dead and not given up yet.
 * Else it is for good, as the peer has proved itself.
 */
static const char *serve_refuse(CohNodeId from, const MemberMessage *message)
{
    const MemberRefuse *refuse = &message->u.refuse;
    Member *m = &mm.member[from];
    g_autofree char *shown = text_of_peer(refuse->why);
    g_autofree char *why = g_strdup_printf("node %d refuses it: %s", m->id,
                                           shown);
    int64_t now = member_now_ms();

    if (refuse->retry) {
        if (!m->refused_ms) {
            m->refused_ms = now;
            say_warning("distkvm: node %d: node %d does not let it in yet: %s;"
                        " it tries again", distkvm->id, m->id, shown);
        }
        if (now - m->refused_ms < distkvm->dead_after_ms + GIVEN_UP_MS) {
            /* It was said, and is no news. */
            note_why(m, shown);
            return m->why;
        }
    }
    roster_give_up(why);
    return NULL;
}

/* ------------------------------------------------------------- addresses */

static void send_address(Member *m)
{
    MemberMessage message = { .type = MESSAGE_ADDRESS };
    g_autofree char *cookie = g_base64_encode(m->ours.bytes, COOKIE_BYTES);
    g_autofree char *text = NULL;
    size_t len;
    const void *address = engine_address(distkvm->engine, &len);

    if (address) {
        text = g_base64_encode(address, len);
    }
    message.u.address = (MemberAddress) { .cookie = cookie, .ucx = text };
    m->address_sent = true;
    roster_send(m, &message);
}

static const char *serve_address(CohNodeId from, const MemberMessage *message)
{
    const MemberAddress *theirs = &message->u.address;
    Member *m = &mm.member[from];
    g_autofree guchar *bytes = NULL, *address = NULL;
    gsize len;

    bytes = g_base64_decode(theirs->cookie, &len);
    if (m->addressed || len != COOKIE_BYTES) {
        return "it sent a malformed address";
    }
    memcpy(m->theirs.bytes, bytes, COOKIE_BYTES);
    address = g_base64_decode(theirs->ucx ?: "", &len);
    m->ucx = g_byte_array_new();
    g_byte_array_append(m->ucx, address, len);
    m->addressed = true;
    /* It has let this node in. */
    m->refused_ms = 0;
    join_proceed(m);
    return NULL;
}

static void connect_peer(Member *m)
{
    const TransportPeer peer = {
        .id = m->id, .address = m->ucx->data, .address_len = m->ucx->len,
        .ours = &m->ours, .theirs = &m->theirs,
    };
    Error *err = NULL;

    if (path_uses_streams()) {
        /* The later node dials. */
        if (m->id < distkvm->id && !m->lanes_dialed) {
            m->lanes_dialed = true;
            lanes_dial(m);
        }
        return;
    }
    m->reachable = m->ucx->len &&
                   engine_connect(distkvm->engine, &peer, &err);
    if (!m->reachable) {
        /* UCX waits for a connection in the thread that asks for it. */
        g_autofree char *why = g_strdup_printf(
            "%s%s", err ? error_get_pretty(err) : "it sent a malformed address",
            err && distkvm->transport == DISTKVM_TRANSPORT_UCX
            ? "; over TCP the ports of UCX must be open (UCX_TCP_PORT_RANGE)"
            : "");

        roster_lose(m, why);
        error_free(err);
    }
}

/* ------------------------------------------------------ the last steps */

static void say(Member *m, MemberMessageType type)
{
    const MemberMessage message = { .type = type };

    roster_send(m, &message);
}

static void joined(Member *m)
{
    g_autofree char *path = engine_describe_peer(distkvm->engine, m->id);
    CohNodeSet members;

    m->answered_ms = member_now_ms();
    g_clear_pointer(&m->why, g_free);
    qatomic_set(&m->state, MEMBER_JOINED);
    roster_add(m);
    say_info("distkvm: node %d: node %d (%s) joined, over %s", distkvm->id,
             m->id, distkvm->address[m->id], path);
    if (mm.ops->joined) {
        mm.ops->joined(m->id);
    }
    members = distkvm_members();
    if (coh_set_count(&members) < (int)distkvm->nodes) {
        return;
    }
    mm.formed = true;
    /* Here, not in the main loop, which may be waiting for a page. */
    engine_joined(distkvm->engine);
    mm.ops->formed();
}

static gboolean try_frames(gpointer opaque)
{
    Member *m = opaque;

    if (!m->ready || !m->reachable || m->reached_sent) {
        return G_SOURCE_REMOVE;
    }
    if (!engine_is_reached(distkvm->engine, m->id)) {
        engine_ping(distkvm->engine, m->id);
        return G_SOURCE_CONTINUE;
    }
    m->reached_sent = true;
    say(m, MESSAGE_REACHED);
    join_proceed(m);
    return G_SOURCE_REMOVE;
}

static void begin_to_try(Member *m)
{
    g_autoptr(GSource) timer = g_timeout_source_new(TRY_MS);

    engine_ping(distkvm->engine, m->id);
    g_source_set_callback(timer, try_frames, m, NULL);
    g_source_attach(timer, mm.context);
}

void join_proceed(Member *m)
{
    if (!mm.decided || !m->known || m->state == MEMBER_JOINED) {
        return;
    }
    if (!m->address_sent) {
        send_address(m);
    }
    if (m->addressed && !m->reachable) {
        connect_peer(m);
        if (!m->reachable) {
            return;
        }
    }
    if (m->reachable && !m->ready_sent) {
        m->ready_sent = true;
        roster_step_done(m);
        say(m, MESSAGE_READY);
    }
    if (m->reachable && m->ready && !m->trying) {
        m->trying = true;
        begin_to_try(m);
    }
    if (m->reached_sent && m->reached) {
        joined(m);
    }
}

static const char *serve_ready(CohNodeId from, const MemberMessage *message)
{
    mm.member[from].ready = true;
    join_proceed(&mm.member[from]);
    return NULL;
}

static const char *serve_reached(CohNodeId from,
                                 const MemberMessage *message)
{
    mm.member[from].reached = true;
    join_proceed(&mm.member[from]);
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_REFUSE, MEMBER_THREAD, serve_refuse },
    { MESSAGE_ADDRESS, MEMBER_THREAD, serve_address },
    { MESSAGE_READY, MEMBER_THREAD, serve_ready },
    { MESSAGE_REACHED, MEMBER_THREAD, serve_reached },
};

void join_init(void)
{
    member_register(services, ARRAY_SIZE(services));
    mm.lanes_connected = join_proceed;
}

/* -------------------------------------------------------------- dialing */

static void dial_opened(void *opaque, Door *door, QIOChannel *ioc,
                        CohNodeId node, const char *why)
{
    Member *m = opaque;
    Channel *c;

    m->dialing = false;
    m->door = NULL;
    if (!ioc) {
        g_autofree char *shown = text_line(why);

        if (g_strcmp0(m->why, shown)) {
            say_warning("distkvm: node %d: node %d (%s) does not let it in:"
                        " %s; it tries again", distkvm->id, m->id,
                        distkvm->address[m->id], shown);
        }
        note_why(m, shown);
        return;
    }
    if (node != m->id) {
        g_autofree char *text = g_strdup_printf(
            "%s is node %u, not node %u: peers= must have one order on all"
            " nodes", distkvm->address[m->id], node, m->id);

        object_unref(OBJECT(ioc));
        roster_give_up(text);
        return;
    }
    c = channel_new(ioc, mm.context, mm.control, m);
    object_unref(OBJECT(ioc));
    attach(m, c, door_address(door));
    channel_send(c, mm.hello);
}

static void dialed(QIOTask *task, gpointer opaque)
{
    QIOChannelSocket *sioc = QIO_CHANNEL_SOCKET(qio_task_get_source(task));
    Member *m = opaque;
    Error *err = NULL;

    if (qio_task_propagate_error(task, &err)) {
        m->dialing = false;
        note_why(m, error_get_pretty(err));
        error_free(err);
    } else {
        m->door = door_new(sioc, true, m->id, mm.context, dial_opened, m);
        m->door_end_ms = member_door_end_ms();
    }
    object_unref(OBJECT(sioc));
}

static void join_dial(Member *m)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[m->id], &error_abort);

    m->dialing = true;
    m->dial_ms = member_now_ms() + DIAL_MS;
    qio_channel_socket_connect_async(qio_channel_socket_new(), address,
                                     dialed, m, NULL, mm.context);
}

/* ------------------------------------------------------------------ time */

static const char *missing_step(const Member *m)
{
    if (!m->known) {
        return "it did not complete its hello";
    }
    if (!m->addressed || !m->reachable || !m->ready) {
        return "its lanes could not be connected in time";
    }
    return "frames do not pass its lanes (try another transport=)";
}

static void report_missing(int64_t now)
{
    g_autoptr(GString) missing = g_string_new(NULL);
    bool given_up = now - mm.start_ms > distkvm->join_timeout_ms;

    if (!given_up && now < mm.progress_ms) {
        return;
    }
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        const Member *m = &mm.member[n];

        if (n != distkvm->id && member_state(n) != MEMBER_JOINED) {
            const char *why = m->why;

            /* One that is known waits for the others, until all are. */
            if (!why && given_up && m->state == MEMBER_GREETING &&
                (!m->known || mm.decided)) {
                why = missing_step(m);
            }
            g_string_append_printf(missing, "%snode %d (%s%s%s)",
                                   missing->len ? ", " : "", n,
                                   distkvm->address[n],
                                   why ? ": " : "", why ?: "");
        }
    }
    if (given_up) {
        g_autofree char *why =
            g_strdup_printf("%s did not join within %" PRId64 " s",
                            missing->str, distkvm->join_timeout_ms / 1000);
        roster_give_up(why);
    } else {
        say_info("distkvm: node %d waits for %s", distkvm->id, missing->str);
        mm.progress_ms = now + PROGRESS_MS;
    }
}

static void check_step(Member *m, int64_t now)
{
    if (m->door && now > m->door_end_ms) {
        door_shut(g_steal_pointer(&m->door));
        m->dialing = false;
        note_why(m, "it does not answer at its door");
    }
    /* Steps of others that come first may take until join-timeout. */
    if (m->state == MEMBER_GREETING && (!m->known || mm.decided) &&
        now - m->since_ms > STEP_MS) {
        roster_lose(m, missing_step(m));
    }
}

void join_tick(int64_t now_ms)
{
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        Member *m = &mm.member[n];

        if (n == distkvm->id) {
            continue;
        }
        if (m->state == MEMBER_ABSENT && n < distkvm->id && !m->dialing &&
            now_ms >= m->dial_ms && !mm.gave_up) {
            join_dial(m);
        }
        check_step(m, now_ms);
    }
    if (!mm.formed && !mm.gave_up) {
        report_missing(now_ms);
    }
}
