/*
 * distkvm: how strangers become members
 *
 * Dialing, listening, the hello, and the exchange of transport addresses that
 * follows it.  Whatever a stranger says before its hello was found right
 * counts for nothing.  Member thread; never takes the BQL.
 * Spec: docs/wire-format.rst, "Hello".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/sockets.h"
#include "member-internal.h"

#define DIAL_MS 300
#define PROGRESS_MS 5000
/* A refused stranger may still read why. */
#define REFUSED_MS 1000
#define STRANGERS_MAX 64
/* No UCX worker address is shorter. */
#define UCX_ADDRESS_BYTES_MIN 16

void join_give_up(const char *why)
{
    if (!mm.gave_up && !mm.formed) {
        g_autofree char *shown = channel_printable(why);

        mm.gave_up = true;
        error_report("distkvm: node %d cannot join: %s", distkvm->id, shown);
        member_leaving();
        control_cannot_join(shown);
    }
}

/* --------------------------------------------------------------- hello */

static Stranger *stranger_of(Channel *c)
{
    for (GSList *at = mm.strangers; at; at = at->next) {
        Stranger *s = at->data;

        if (s->channel == c) {
            return s;
        }
    }
    return NULL;
}

static void forget_stranger(Stranger *s)
{
    mm.strangers = g_slist_remove(mm.strangers, s);
    g_free(s);
}

static void refuse(Stranger *s, const char *why)
{
    g_autoptr(QDict) message = member_message("refuse");
    g_autofree char *shown = channel_printable(why);

    warn_report("distkvm: node %d refused a peer: %s", distkvm->id, shown);
    qdict_put_str(message, "why", shown);
    channel_send(s->channel, message);
    s->end_ms = member_now_ms() + REFUSED_MS;
}

/*
 * The peer is refused, but gets our hello first, so that it finds and names
 * the difference itself.
 */
static void stranger_hello(Channel *c, const QDict *hello)
{
    Stranger *s = stranger_of(c);
    Error *err = NULL;
    CohNodeId from;
    Member *m;

    if (!s || s->greeted) {
        return;
    }
    s->greeted = true;
    channel_send(c, mm.hello);
    if (!hello_check(mm.hello, hello, &from, &err)) {
        refuse(s, error_get_pretty(err));
        error_free(err);
        return;
    }
    m = &mm.member[from];
    if (from < distkvm->id) {
        refuse(s, "an earlier node is dialed, it does not dial");
        return;
    }
    if (m->channel || m->state == MEMBER_LOST || m->state == MEMBER_LEFT) {
        g_autofree char *why =
            g_strdup_printf("the id %d is taken by the node at %s", from,
                            distkvm->address[from]);
        refuse(s, why);
        return;
    }
    forget_stranger(s);
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        m->channel = c;
    }
    channel_set_opaque(c, m);
    channel_set_trusted(c);
    m->proved = true;
    m->since_ms = member_now_ms();
    qatomic_set(&m->heard_ms, member_now_ms());
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

    if (!hello_check(mm.hello, hello, &from, &err)) {
        join_give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    if (from != m->id) {
        g_autofree char *why =
            g_strdup_printf("%s is node %d, not node %d",
                            distkvm->address[m->id], from, m->id);
        join_give_up(why);
        return;
    }
    m->proved = true;
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

    if (m->reachable || !m->proved) {
        return;
    }
    address = g_base64_decode(text, &len);
    if (len < UCX_ADDRESS_BYTES_MIN) {
        member_lose(m, "it sent a malformed address");
        return;
    }
    if (!engine_connect(distkvm->engine, m->id, address, len, &err)) {
        join_give_up(error_get_pretty(err));
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
    /* Here, not in the main loop, which may be waiting for a page. */
    engine_joined(distkvm->engine);
    service_queue_main(formed_in_main_loop, NULL);
}

void join_stranger_message(Channel *c, const char *type, const QDict *message)
{
    if (!strcmp(type, "hello")) {
        stranger_hello(c, message);
    }
}

void join_stranger_gone(Channel *c)
{
    Stranger *s = stranger_of(c);

    if (s) {
        forget_stranger(s);
    }
    channel_free(c);
}

bool join_message(Member *m, const char *type, const QDict *message)
{
    if (!strcmp(type, "hello")) {
        if (m->id < distkvm->id) {
            member_hello(m, message);
        }
    } else if (!strcmp(type, "refuse")) {
        g_autofree char *why =
            g_strdup_printf("node %d refuses it: %s", m->id,
                            qdict_get_try_str(message, "why") ?: "?");
        join_give_up(why);
    } else if (!strcmp(type, "address")) {
        member_address(m, message);
        check_joined(m);
    } else if (!strcmp(type, "ready")) {
        m->ready = m->proved;
        check_joined(m);
    } else {
        return false;
    }
    return true;
}

/* ----------------------------------------------------------- connecting */

static void accepted(QIONetListener *listener, QIOChannelSocket *sioc,
                     gpointer unused)
{
    Stranger *s;

    if (g_slist_length(mm.strangers) >= STRANGERS_MAX) {
        qio_channel_close(QIO_CHANNEL(sioc), NULL);
        return;
    }
    s = g_new0(Stranger, 1);
    s->channel = channel_new(QIO_CHANNEL(sioc), mm.context,
                             &member_channel_listener, NULL);
    s->end_ms = member_now_ms() + HELLO_MS;
    mm.strangers = g_slist_prepend(mm.strangers, s);
}

static void dialed(QIOTask *task, gpointer opaque)
{
    Member *m = opaque;
    QIOChannel *ioc = QIO_CHANNEL(qio_task_get_source(task));

    m->dialing = false;
    if (qio_task_propagate_error(task, NULL) || m->channel) {
        object_unref(OBJECT(ioc));
        return;
    }
    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        m->channel = channel_new(ioc, mm.context, &member_channel_listener, m);
        channel_send(m->channel, mm.hello);
    }
    object_unref(OBJECT(ioc));
    m->since_ms = member_now_ms();
    qatomic_set(&m->heard_ms, member_now_ms());
    qatomic_set(&m->state, MEMBER_GREETING);
}

void join_dial(Member *m)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[m->id], &error_abort);

    m->dialing = true;
    m->dial_ms = member_now_ms() + DIAL_MS;
    qio_channel_socket_connect_async(qio_channel_socket_new(), address,
                                     dialed, m, NULL, mm.context);
}

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
        join_give_up(why);
    } else if (now >= mm.progress_ms) {
        info_report("distkvm: node %d waits for %s", distkvm->id,
                    missing->str);
        mm.progress_ms = now + PROGRESS_MS;
    }
}

static void tick_strangers(int64_t now)
{
    for (GSList *at = mm.strangers; at; ) {
        Stranger *s = at->data;

        at = at->next;
        if (now > s->end_ms) {
            channel_free(s->channel);
            forget_stranger(s);
        }
    }
}

void join_tick(int64_t now)
{
    tick_strangers(now);
    if (!mm.formed && !mm.gave_up) {
        report_missing(now);
    }
}

bool join_listen(Error **errp)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[distkvm->id], &error_abort);

    mm.listener = qio_net_listener_new();
    qio_net_listener_set_name(mm.listener, "distkvm-listener");
    if (qio_net_listener_open_sync(mm.listener, address, distkvm->nodes,
                                   errp) < 0) {
        return false;
    }
    qio_net_listener_set_client_func_full(mm.listener, accepted, NULL, NULL,
                                          mm.context);
    return true;
}
