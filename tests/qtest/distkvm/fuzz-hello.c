/*
 * fuzz-hello: a stranger's first bytes, under ASan and UBSan
 *
 * Right hellos are damaged, as JSON and as bytes, and sent over a socket in
 * pieces; what the channel takes for a message is given to hello_check().
 * Whatever comes, the outcome is a refusal or the hello as it was.
 *
 *   fuzz-hello [SECONDS [SEED]]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/socket.h>
#include "block/qdict.h"
#include "io/channel-socket.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/cluster/hello.h"
#include "accel/distkvm/machine/hello-agree.h"
#include "machine-hello.h"

#define BYTES_MAX (2 * CHANNEL_HELLO_MAX)

/*
 * QEMU's parser forgets the value of a key that comes twice.  It is a few
 * bytes of a connection that is closed for it, so leaks are left alone here.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static GRand *chance;
static QDict *ours, *theirs;
static uint64_t sent, messages, accepted, refused, closed, fitting;
static bool is_closed;

static unsigned below(unsigned n)
{
    return g_rand_int_range(chance, 0, n);
}

/* --------------------------------------------------------------- damage */

static QObject *any_value(unsigned depth)
{
    QDict *dict;
    QList *list;

    switch (below(depth ? 7 : 5)) {
    case 0:
        return QOBJECT(qnum_from_int(g_rand_int(chance) - 0x80000000u));
    case 1:
        return QOBJECT(qnum_from_double(g_rand_double(chance) * 1e300));
    case 2:
        return QOBJECT(qstring_from_str(below(2) ? "" : "\xc3\xa4 x"));
    case 3:
        return QOBJECT(qnum_from_uint(UINT64_MAX - below(3)));
    case 4:
        return QOBJECT(qstring_from_str("4 nodes"));
    case 5:
        list = qlist_new();
        for (unsigned n = below(4); n; n--) {
            qlist_append_obj(list, any_value(depth - 1));
        }
        return QOBJECT(list);
    default:
        dict = qdict_new();
        for (unsigned n = below(4); n; n--) {
            g_autofree char *key = g_strdup_printf("k%u", n);

            qdict_put_obj(dict, key, any_value(depth - 1));
        }
        return QOBJECT(dict);
    }
}

/* Drop, replace or add a member, perhaps of a member. */
static void damage_dict(QDict *dict)
{
    unsigned skip = qdict_size(dict) ? below(qdict_size(dict)) : 0;
    const QDictEntry *entry = qdict_first(dict);
    g_autofree char *key = NULL;

    while (entry && skip--) {
        entry = qdict_next(dict, entry);
    }
    key = g_strdup(entry ? qdict_entry_key(entry) : "extra");
    if (entry && qobject_to(QDict, qdict_entry_value(entry)) && below(4)) {
        damage_dict(qobject_to(QDict, qdict_entry_value(entry)));
    } else if (below(3)) {
        qdict_put_obj(dict, key, any_value(3));
    } else {
        qdict_del(dict, key);
    }
}

static GByteArray *framed(const QDict *dict)
{
    g_autoptr(GString) text = qobject_to_json(QOBJECT(dict));
    GByteArray *bytes = g_byte_array_new();
    uint8_t length[4];

    stl_be_p(length, text->len);
    g_byte_array_append(bytes, length, sizeof(length));
    g_byte_array_append(bytes, (uint8_t *)text->str, text->len);
    return bytes;
}

static void damage_bytes(GByteArray *bytes)
{
    for (unsigned n = below(6); n; n--) {
        bytes->data[below(bytes->len)] ^= 1 << below(8);
    }
    if (!below(4)) {
        g_byte_array_set_size(bytes, 1 + below(bytes->len));
    }
    if (!below(8)) {
        static const uint8_t deep[4000] = { [0 ... 3999] = '[' };

        g_byte_array_append(bytes, deep, sizeof(deep));
    }
}

static GByteArray *next_attack(void)
{
    static const char *const parts[] = { "facts", "cpu" };
    QDict *dict = qdict_clone_shallow(theirs);
    GByteArray *bytes;

    /* Deep enough: these are dictionaries of their own. */
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        qdict_put(dict, parts[i],
                  qdict_clone_shallow(qdict_get_qdict(theirs, parts[i])));
    }
    for (unsigned n = below(4); n; n--) {
        damage_dict(dict);
    }
    bytes = framed(dict);
    qobject_unref(dict);
    if (below(2)) {
        damage_bytes(bytes);
    }
    return bytes;
}

/* -------------------------------------------------------------- delivery */

static void add_machine(QDict *hello)
{
    QDict *machine = machine_hello();

    qdict_join(hello, machine, true);
    qobject_unref(machine);
}

/* Its facts fit: does what a machine states besides? */
static void check_machine(const QDict *message, CohNodeId from)
{
    Error *err = NULL;

    if (machine_hello_fits(ours, message, from, &err)) {
        fitting++;
    } else if (!err || !*error_get_pretty(err)) {
        g_error("a refusal without a reason");
    }
    error_free(err);
}

static void got_message(void *opaque, Channel *c, const QDict *message,
                        size_t len)
{
    Error *err = NULL;
    CohNodeId from = COH_NODE_NONE;

    messages++;
    if (hello_check(ours, message, &from, &err)) {
        accepted++;
        if (from >= distkvm->nodes || from == distkvm->id) {
            g_error("it accepted node %u", from);
        }
        check_machine(message, from);
    } else {
        refused++;
        if (!err || !*error_get_pretty(err)) {
            g_error("a refusal without a reason");
        }
        error_free(err);
    }
}

static void got_closed(void *opaque, Channel *c, const char *why)
{
    closed++;
    is_closed = true;
}

static const ChannelListener listener = {
    .message = got_message,
    .closed = got_closed,
};

static void attack(void)
{
    g_autoptr(GByteArray) bytes = next_attack();
    int fd[2];
    QIOChannelSocket *sioc;
    Channel *channel;
    size_t at = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) {
        g_error("socketpair: %s", strerror(errno));
    }
    sioc = qio_channel_socket_new_fd(fd[0], &error_abort);
    channel = channel_new(QIO_CHANNEL(sioc), NULL, &listener, NULL);
    object_unref(OBJECT(sioc));
    is_closed = false;
    while (at < bytes->len && !is_closed) {
        size_t piece = MIN(1 + below(below(2) ? 8 : 20000), bytes->len - at);

        if (send(fd[1], bytes->data + at, piece, MSG_NOSIGNAL) < 0) {
            break;
        }
        at += piece;
        while (g_main_context_iteration(NULL, false)) {
            /* all that is there */
        }
    }
    close(fd[1]);
    while (!is_closed) {
        g_main_context_iteration(NULL, true);
    }
    channel_free(channel);
    sent++;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? g_ascii_strtod(argv[1], NULL) : 5;
    uint32_t seed = argc > 2 ? (uint32_t)atoi(argv[2]) : g_random_int();
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

    printf("fuzz-hello: seed %u\n", seed);
    fflush(stdout);
    chance = g_rand_new_with_seed(seed);
    module_call_init(MODULE_INIT_QOM);
    distkvm = g_new0(DistKVM, 1);
    distkvm->nodes = 3;
    distkvm->cluster = g_strdup("fuzz");
    distkvm->engine_config.lanes = lanes_make(1, 3);
    distkvm->ram_bytes = 3 * COH_PAGE_SIZE;
    distkvm->map = cluster_map_new_even(3, 3, 0);
    ours = hello_new();
    distkvm->id = 1;
    theirs = hello_new();
    distkvm->id = 0;
    add_machine(ours);
    add_machine(theirs);
    while (g_get_monotonic_time() < end) {
        attack();
    }
    printf("%" PRIu64 " hellos, %" PRIu64 " messages, %" PRIu64 " accepted, %"
           PRIu64 " of them as machines too, %" PRIu64 " refused, %" PRIu64
           " connections closed\n", sent, messages, accepted, fitting, refused,
           closed);
    qobject_unref(ours);
    qobject_unref(theirs);
    g_rand_free(chance);
    g_free(distkvm->cluster);
    return accepted > fitting && fitting && refused ? 0 : 1;
}
