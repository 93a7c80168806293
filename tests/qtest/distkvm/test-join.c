/*
 * distkvm: tests of hellos that are refused
 *
 * A refused hello once set the guest's TSC rate on the node that refused it.
 * So all that membership keeps is compared, byte for byte, before and after
 * each way in which a hello can be refused.  What a refused hello does change
 * is of its own connection: that it has greeted, and when it ends; and the
 * count of refusals of which only some are told (say.c).  The machine around
 * membership learns of a hello by MemberOps.accepted, and by nothing else:
 * .agrees is given it read-only, and machine_hello_fits()
 * (machine/hello-agree.c, in use here) has no state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/socket.h>
#include "block/qdict.h"
#include "io/channel-socket.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "accel/distkvm/cluster/hello.h"
#include "accel/distkvm/cluster/join.h"
#include "accel/distkvm/cluster/listen.h"
#include "accel/distkvm/cluster/place.h"
#include "accel/distkvm/machine/hello-agree.h"
#include "accel/distkvm/node.h"
#include "machine-hello.h"

#define NODES 4
#define PEER 2

static unsigned n_accepted, n_cannot_join, n_gone;
static CohNodeId accepted_node;
static uint64_t accepted_khz;

static void accepted(const QDict *theirs, CohNodeId node)
{
    n_accepted++;
    accepted_node = node;
    accepted_khz = qdict_get_int(theirs, "tsc-khz");
}

static void cannot_join(const char *why)
{
    n_cannot_join++;
}

static const MemberOps ops = {
    .agrees = machine_hello_fits,
    .accepted = accepted,
    .cannot_join = cannot_join,
};

static void got_message(void *opaque, Channel *c, const QDict *message,
                        size_t len)
{
    g_assert_not_reached();
}

static void got_closed(void *opaque, Channel *c, const char *why)
{
    n_gone++;
}

static const ChannelListener control = {
    .message = got_message,
    .closed = got_closed,
};

static QDict *hello_of(CohNodeId node)
{
    CohNodeId self = distkvm->id;
    QDict *hello, *machine = machine_hello();

    distkvm->id = node;
    hello = hello_new();
    distkvm->id = self;
    qdict_join(hello, machine, true);
    qobject_unref(machine);
    return hello;
}

static void start(void)
{
    static char *addresses[NODES + 1] = {
        (char *)"a:1", (char *)"b:1", (char *)"c:1", (char *)"d:1",
    };

    distkvm = g_new0(DistKVM, 1);
    distkvm->nodes = NODES;
    distkvm->address = addresses;
    distkvm->cluster = g_strdup("join");
    distkvm->engine_config.lanes = lanes_make(1, NODES);
    distkvm->ram_bytes = NODES * COH_PAGE_SIZE;
    distkvm->map = cluster_map_new_even(NODES, NODES, 0);
    distkvm->dead_after_ms = 4000;
    roster_init(&ops);
    mm.control = &control;
    mm.hello = hello_of(distkvm->id);
    mm.place = place_make();
    n_accepted = n_cannot_join = 0;
}

/* A stranger that greeted as @node; *@fd is its end. */
static Stranger *knock(CohNodeId node, int *fd)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    *fd = fds[1];
    stranger_add(QIO_CHANNEL(qio_channel_socket_new_fd(fds[0], &error_abort)),
                 node, "a test");
    return g_queue_peek_tail(&mm.strangers);
}

/* ---------------------------------------------------------- ways to refuse */

static QDict *facts_of(QDict *hello)
{
    return qdict_get_qdict(hello, "facts");
}

static void other_protocol(QDict *hello)
{
    qdict_put_str(facts_of(hello), "protocol version", "999");
}

static void other_cluster(QDict *hello)
{
    qdict_put_str(facts_of(hello), "cluster name", "another");
}

static void no_facts(QDict *hello)
{
    qdict_del(hello, "facts");
}

static void no_such_node(QDict *hello)
{
    qdict_put_int(hello, "node", NODES);
}

static void our_number(QDict *hello)
{
    qdict_put_int(hello, "node", distkvm->id);
}

static void not_as_greeted(QDict *hello)
{
    qdict_put_int(hello, "node", PEER + 1);
}

static void malformed(QDict *hello)
{
    qdict_put_int(hello, "place", 1);
    qdict_del(hello, "shm");
}

static void other_cpu(QDict *hello)
{
    qdict_put_str(qdict_get_qdict(hello, "cpu"), "name", "486");
}

static void other_tsc(QDict *hello)
{
    qdict_put_int(hello, "tsc-khz", 123456);
}

static void other_firmware(QDict *hello)
{
    qdict_put_str(hello, "firmware", "0123456789abcdef");
}

/* All is right but the fate of the number; the TSC's rate differs. */
static void late(QDict *hello)
{
    qdict_put_int(hello, "tsc-khz", 123456);
    qdict_put_bool(hello, "tsc-scaling", true);
}

static void taken(Member *m)
{
    /* No message goes there. */
    m->channel = (Channel *)m;
    m->address = g_strdup("elsewhere");
}

static void lost(Member *m)
{
    m->state = MEMBER_LOST;
}

static void gone(Member *m)
{
    m->state = MEMBER_LEFT;
}

static const struct {
    const char *why;
    void (*damage)(QDict *hello);
    void (*arrange)(Member *m);
} refusals[] = {
    { "protocol version differs", other_protocol },
    { "cluster name differs", other_cluster },
    { "does not speak distkvm", no_facts },
    { "the peer says it is node 4", no_such_node },
    { "two nodes have the id 0", our_number },
    { "its hello is not of the node that greeted", not_as_greeted },
    { "is malformed", malformed },
    { "CPU model differs", other_cpu },
    { "TSC frequency differs", other_tsc },
    { "firmware differs", other_firmware },
    { "the id 2 is taken by the node at elsewhere", late, taken },
    { "node 2 is lost", late, lost },
    { "node 2 is lost", late, gone },
};

/* All that the peer at @fd reads, without the lengths in between; g_free. */
static char *heard(int fd)
{
    char *text = g_malloc0(64 << 10);
    ssize_t len = recv(fd, text, (64 << 10) - 1, MSG_DONTWAIT);

    for (ssize_t i = 0; i < len; i++) {
        text[i] = text[i] ?: ' ';
    }
    return text;
}

static void test_refused(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        g_autofree Membership *before = NULL;
        g_autofree DistKVM *node_before = NULL;
        g_autofree char *said = NULL;
        QDict *hello;
        Stranger *s;
        int fd;

        start();
        hello = hello_of(PEER);
        refusals[i].damage(hello);
        if (refusals[i].arrange) {
            refusals[i].arrange(&mm.member[PEER]);
        }
        s = knock(PEER, &fd);
        before = g_memdup2(&mm, sizeof(mm));
        node_before = g_memdup2(distkvm, sizeof(*distkvm));
        listen_message(s->channel, "hello", hello, 1000);
        said = heard(fd);
        if (!strstr(said, refusals[i].why)) {
            g_error("instead of '%s' it hears: %s", refusals[i].why, said);
        }
        g_assert_cmpint(n_accepted, ==, 0);
        g_assert_cmpint(n_cannot_join, ==, 0);
        g_assert_cmpmem(before, sizeof(mm), &mm, sizeof(mm));
        g_assert_cmpmem(node_before, sizeof(*distkvm), distkvm,
                        sizeof(*distkvm));
        /* It is a stranger still, which gets nothing more. */
        g_assert_true(stranger_of(s->channel) == s && s->greeted);
        stranger_drop(s);
        close(fd);
        qobject_unref(hello);
        mm = (Membership) { 0 };
    }
}

/* The same hello, right and for a place that is free, is taken. */
static void test_accepted(void)
{
    QDict *hello;
    Stranger *s;
    int fd;

    start();
    hello = hello_of(PEER);
    late(hello);
    s = knock(PEER, &fd);
    listen_message(s->channel, "hello", hello, 1000);
    g_assert_cmpint(n_accepted, ==, 1);
    g_assert_cmpint(accepted_node, ==, PEER);
    g_assert_cmpint(accepted_khz, ==, 123456);
    g_assert_true(mm.member[PEER].known);
    g_assert_true(g_queue_is_empty(&mm.strangers));
    close(fd);
    qobject_unref(hello);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    g_test_add_func("/join/refused", test_refused);
    g_test_add_func("/join/accepted", test_accepted);
    return g_test_run();
}
