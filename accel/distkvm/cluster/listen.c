/*
 * distkvm: connections that peers dial
 *
 * One listener for control connections and lanes.  A connection passes the door
 * (door.h), then says in its first message which of them it is.  Until then it
 * costs a bounded number of descriptors and bytes for a bounded time; the oldest
 * give way to newcomers.
 * Member thread; never takes the BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/file.h>
#include <sys/stat.h>
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "qemu/sockets.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/rules.h"
#include "accel/distkvm/wire/text.h"
#include "door.h"
#include "join.h"
#include "lane-streams.h"
#include "listen.h"
#include "message.h"
#include "roster.h"
#include "stranger.h"

/* At the door at one time, besides all the cluster's own connections. */
#define DOORS_MAX 128
/* Connections that the kernel keeps until they are looked at. */
#define BACKLOG 1024

typedef struct AcceptedDoor {
    Door *door;
    int64_t end_ms;
} AcceptedDoor;

/* ------------------------------------------------------------ strangers */

static void first_message(Stranger *s, const QDict *dict)
{
    Error *err = NULL;
    g_autoptr(MemberMessage) message = message_parse(dict, &err);

    if (!message) {
        g_autofree char *why = g_strdup_printf(
            "it sent a malformed message: %s", error_get_pretty(err));

        stranger_refuse(s, false, why);
        error_free(err);
    } else if (message->type == MESSAGE_LANE) {
        lanes_stranger(s, &message->u.lane);
    } else {
        stranger_refuse(s, false, "it does not begin with a hello");
    }
}

void listen_message(Channel *c, const char *type, const QDict *dict,
                    size_t len)
{
    Stranger *s = stranger_of(c);
    const char *why;

    if (!s || s->greeted) {
        return;
    }
    s->greeted = true;
    why = rules_message(type, len, s->node, distkvm->id, PHASE_GREETING);
    if (why) {
        g_autofree char *text = g_strdup_printf("it sent %s", why);

        stranger_refuse(s, false, text);
    } else if (!strcmp(type, MemberMessageType_str(MESSAGE_HELLO))) {
        /* It may be of another version, which is to be said. */
        join_hello(s, dict);
    } else {
        first_message(s, dict);
    }
}

void listen_gone(Channel *c)
{
    Stranger *s = stranger_of(c);

    if (s) {
        stranger_drop(s);
    } else {
        channel_free(c);
    }
}

/* -------------------------------------------------------------- the door */

static AcceptedDoor *accepted_door(Door *door)
{
    for (GList *at = mm.doors.head; at; at = at->next) {
        AcceptedDoor *a = at->data;

        if (a->door == door) {
            return a;
        }
    }
    return NULL;
}

static void forget_door(AcceptedDoor *a)
{
    g_queue_remove(&mm.doors, a);
    g_free(a);
}

static void shut_door(AcceptedDoor *a)
{
    door_shut(a->door);
    forget_door(a);
}

static void let_in(void *opaque, Door *door, QIOChannel *ioc, CohNodeId node,
                   const char *why)
{
    forget_door(accepted_door(door));
    if (!ioc) {
        g_autofree char *shown = text_line(why);

        say_refusal("distkvm: node %d refused a peer at %s: %s", distkvm->id,
                    door_address(door), shown);
        return;
    }
    stranger_add(ioc, node, door_address(door));
}

/* One gives way: of those that have not even greeted, the oldest. */
static void make_room(void)
{
    AcceptedDoor *oldest = g_queue_peek_head(&mm.doors);

    for (GList *at = mm.doors.head; at; at = at->next) {
        AcceptedDoor *a = at->data;

        if (!door_is_greeted(a->door)) {
            oldest = a;
            break;
        }
    }
    shut_door(oldest);
}

static void accepted(QIONetListener *listener, QIOChannelSocket *sioc,
                     gpointer unused)
{
    AcceptedDoor *a = g_new0(AcceptedDoor, 1);

    if (g_queue_get_length(&mm.doors) >= DOORS_MAX + member_connections()) {
        make_room();
    }
    a->door = door_new(sioc, false, COH_NODE_NONE, mm.context, let_in, NULL);
    a->end_ms = member_door_end_ms();
    g_queue_push_tail(&mm.doors, a);
}

void listen_tick(int64_t now_ms)
{
    for (GList *at = mm.doors.head, *next; at; at = next) {
        AcceptedDoor *a = at->data;

        next = at->next;
        if (now_ms > a->end_ms) {
            shut_door(a);
        }
    }
    stranger_tick(now_ms);
}

/* ------------------------------------------------------------ listening */

/* Its sockets are for one user: a directory that no other can enter. */
static bool check_directory(const char *socket, Error **errp)
{
    g_autofree char *dir = g_path_get_dirname(socket);
    struct stat st;

    if (mkdir(dir, 0700) && errno != EEXIST) {
        error_setg_errno(errp, errno, "%s cannot be made", dir);
        return false;
    }
    if (lstat(dir, &st)) {
        error_setg_errno(errp, errno, "%s cannot be looked at", dir);
        return false;
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 0777) != 0700) {
        error_setg(errp, "%s is not this user's alone: it must be a directory"
                   " of user %u and mode 0700 (chmod 700)", dir, geteuid());
        return false;
    }
    return true;
}

/* QEMU takes the place of a socket that another node listens at. */
static bool lock_socket(const char *path, Error **errp)
{
    g_autofree char *name = g_strdup_printf("%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        error_setg_errno(errp, errno, "%s cannot be made", name);
        return false;
    }
    /* Until this process ends. */
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        error_setg(errp, "a node %d listens at %s already", distkvm->id, path);
        close(fd);
        return false;
    }
    return true;
}

bool listen_start(Error **errp)
{
    g_autoptr(SocketAddress) address =
        socket_parse(distkvm->address[distkvm->id], &error_abort);

    if (address->type == SOCKET_ADDRESS_TYPE_UNIX) {
        if (!check_directory(address->u.q_unix.path, errp) ||
            !lock_socket(address->u.q_unix.path, errp)) {
            return false;
        }
    }
    mm.listener = qio_net_listener_new();
    qio_net_listener_set_name(mm.listener, "distkvm-listener");
    if (qio_net_listener_open_sync(mm.listener, address, BACKLOG, errp) < 0) {
        return false;
    }
    qio_net_listener_set_client_func_full(mm.listener, accepted, NULL, NULL,
                                          mm.context);
    return true;
}
