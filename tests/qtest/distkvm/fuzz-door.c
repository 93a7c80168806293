/*
 * fuzz-door: what peers send before and after they have proved themselves,
 * under ASan and UBSan
 *
 * "stream": bunches of frames, damaged, through the stream transport into the
 * readers that every frame passes before the engine knows its meaning.
 * "door": greetings and what may follow them, damaged, at a door without keys.
 * "tls": the same at a door that wants a pre-shared key.
 * "message": control messages, damaged, through a channel into the table of
 * rules and into the structs that services get.
 * Whatever comes, a bunch is read or its peer is lost, a door opens for a
 * right greeting only, and a message is refused in words that can be shown or
 * is one that this node could have written.
 *
 *   fuzz-door MODE SECONDS [INPUTS [SEED]]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sanitizer/lsan_interface.h>
#include <sys/socket.h>
#include "crypto/tlscredspsk.h"
#include "io/channel-socket.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qobject/qjson.h"
#include "qom/object_interfaces.h"
#include "accel/distkvm/wire/channel.h"
#include "accel/distkvm/wire/page-list.h"
#include "accel/distkvm/wire/rules.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/wire/transport-stream.h"
#include "accel/distkvm/wire/text.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/cluster/door.h"
#include "accel/distkvm/cluster/message.h"
#include "accel/distkvm/engine/engine.h"
#include "right-messages.h"

#define BATCH_BYTES (48 * 1024)
#define PEER 1

static uint64_t state;
static uint64_t inputs, frames_read, bunches_refused, lost, opened, shut;
static uint64_t parsed, malformed, ruled_out, closed;

/* xorshift64 (Marsaglia 2003): GLib's generator takes longer than a frame. */
static uint32_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 32;
}

static unsigned below(unsigned n)
{
    return any() % n;
}

static void damage(uint8_t *bytes, size_t len)
{
    for (unsigned n = below(4); n; n--) {
        bytes[below(len)] ^= below(3) ? 1 << below(8) : any();
    }
}

/* --------------------------------------------------------------- streams */

static bool is_lost;

/* Everything that reads a frame before its meaning is known. */
static void read_frame(const WireFrame *frame)
{
    uint64_t sum = rules_frame(frame, below(3), below(PHASE_FORMED + 1)) != 0;

    if (frame->type == WIRE_COH && frame->coh.more &&
        page_list_is_valid(frame)) {
        for (unsigned n = 0; n < frame->coh.more; n++) {
            sum += page_list_get(frame, n).page;
        }
    } else if (frame->type == WIRE_COH) {
        const void *bytes;
        CohOp op;

        sum += coh_op_decode(frame->payload, frame->len,
                             frame->sub == COH_EV_VALUE, &op, &bytes);
    }
    for (unsigned i = 0; i < frame->len; i += 64) {
        sum += ((const uint8_t *)frame->payload)[i];
    }
    /* Read, whatever the compiler thinks of it. */
    asm volatile("" : : "r"(sum));
    frames_read++;
}

static void got_frames(void *opaque, CohNodeId peer, const void *buf,
                       size_t len)
{
    const uint8_t *at = buf;
    WireFrame frame;

    if (peer != PEER || !len || len > WIRE_BUNCH_MAX) {
        g_error("a bunch of %zu bytes of node %u", len, peer);
    }
    while (len) {
        if (!wire_next(&at, &len, &frame)) {
            bunches_refused++;
            return;
        }
        read_frame(&frame);
    }
}

static void got_lost(void *opaque, CohNodeId peer, const char *why)
{
    if (peer != PEER || !*why) {
        g_error("node %u is lost for no reason", peer);
    }
    is_lost = true;
    lost++;
}

static const TransportListener stream_listener = {
    .frames = got_frames,
    .lost = got_lost,
};

/* Put a frame at @at; its bytes. */
static size_t put_frame(uint8_t *at)
{
    static const unsigned lengths[] = { 0, 0, 0, 8, 16, 24, 32, 300, 4096 };
    WireFrame frame = {
        .type = 1 + below(WIRE__MAX - 1), .sub = below(24), .from = below(3),
        .len = lengths[below(9)],
    };
    size_t front;

    /* Any body; members with bounds are mostly within them. */
    for (unsigned i = 0; i < sizeof(frame.io); i++) {
        ((uint8_t *)&frame.io)[i] = below(4) ? below(2) : any();
    }
    if (frame.type == WIRE_COH) {
        frame.coh.more = below(4) ? 0 : below(6);
        frame.len = frame.coh.more ? frame.coh.more * PAGE_LIST_ITEM_BYTES
                                   : frame.len;
    }
    front = wire_encode(&frame, at);
    for (unsigned i = 0; i < frame.len; i += 4) {
        stl_le_p(at + front + i, any());
    }
    return front + frame.len;
}

static size_t put_bunch(uint8_t *at)
{
    size_t len = 4;

    for (unsigned n = 1 + below(3); n; n--) {
        len += put_frame(at + len);
    }
    stl_le_p(at, len - 4);
    if (below(2)) {
        damage(at + 4, len - 4);
    }
    if (!below(500)) {
        damage(at, 4);
    }
    inputs++;
    return len;
}

static void attack_stream(Transport *t, uint8_t *batch)
{
    QIOChannelSocket *sioc;
    TransportPeer peer = { .id = PEER };
    int fd[2];
    size_t len = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) {
        g_error("socketpair: %s", strerror(errno));
    }
    sioc = qio_channel_socket_new_fd(fd[0], &error_abort);
    peer.stream = QIO_CHANNEL(sioc);
    t->ops->connect(t, &peer, &error_abort);
    object_unref(OBJECT(sioc));
    is_lost = false;
    for (unsigned round = 0; round < 64 && !is_lost; round++) {
        for (len = 0; len < BATCH_BYTES - 3 * WIRE_FRAME_MAX - 4; ) {
            len += put_bunch(batch + len);
        }
        for (size_t at = 0; at < len && !is_lost; ) {
            size_t piece = MIN(below(8) ? len : 1 + below(100), len - at);
            ssize_t sent = send(fd[1], batch + at, piece, MSG_NOSIGNAL);

            at += MAX(sent, 0);
            for (unsigned n = 0; n < 4; n++) {
                t->ops->poll(t);
            }
        }
    }
    close(fd[1]);
    for (unsigned n = 0; n < 8 && !is_lost; n++) {
        t->ops->poll(t);
    }
    if (!is_lost) {
        g_error("a closed stream was not noticed");
    }
}

/* ----------------------------------------------------------------- doors */

static bool is_open, is_right;

static void door_result(void *opaque, Door *door, QIOChannel *ioc,
                        CohNodeId node, const char *why)
{
    is_open = true;
    if (!ioc) {
        shut++;
        if (!why || !*why) {
            g_error("a refusal without a reason");
        }
        return;
    }
    opened++;
    if (!is_right || credentials_use_tls()) {
        g_error("a door opened for what it must not");
    }
    if (node <= distkvm->id || node >= distkvm->nodes) {
        g_error("a door opened for node %u", node);
    }
    object_unref(OBJECT(ioc));
}

static void attack_door(void)
{
    const Greeting greeting = {
        .version = GREETING_VERSION, .security = credentials_security(),
        .node = below(4),
    };
    uint8_t bytes[600];
    size_t len = GREETING_BYTES + below(sizeof(bytes) - GREETING_BYTES);
    QIOChannelSocket *sioc;
    Greeting got;
    int fd[2];

    greeting_encode(&greeting, bytes);
    for (size_t i = GREETING_BYTES; i < len; i++) {
        bytes[i] = any();
    }
    if (below(2)) {
        /* As a TLS record with a handshake inside. */
        static const uint8_t record[] = { 0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3 };

        memcpy(bytes + GREETING_BYTES, record,
               MIN(sizeof(record), len - GREETING_BYTES));
    }
    if (below(4)) {
        damage(bytes, GREETING_BYTES);
    }
    if (!below(4)) {
        len = below(GREETING_BYTES);
    }
    is_right = len >= GREETING_BYTES && greeting_decode(bytes, &got);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) {
        g_error("socketpair: %s", strerror(errno));
    }
    sioc = qio_channel_socket_new_fd(fd[0], &error_abort);
    is_open = false;
    door_new(sioc, false, COH_NODE_NONE, NULL, door_result, NULL);
    object_unref(OBJECT(sioc));
    if (send(fd[1], bytes, len, MSG_NOSIGNAL) < 0) {
        g_error("send: %s", strerror(errno));
    }
    shutdown(fd[1], SHUT_WR);
    while (!is_open) {
        g_main_context_iteration(NULL, true);
    }
    close(fd[1]);
    inputs++;
}

/* -------------------------------------------------------------- messages */

/* Longest of the texts below, with a value put in place of another. */
#define MESSAGE_BYTES_MAX 2048

/* A right message as a peer sends it, and where its values are. */
typedef struct Text {
    GString *json;
    GArray *value;              /* of Span, in order */
} Text;

typedef struct Span {
    size_t begin, end;
    unsigned seldom;            /* replaced once in as many times */
} Span;

static Text text[ARRAY_SIZE(right_message)];
static bool is_closed;

static const char *const values[] = {
    "0", "1", "-1", "255", "256", "65535", "65536", "4294967295",
    "4294967296", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "18446744073709551615",
    "18446744073709551616", "1.5", "-0", "1e300", "true", "false", "null",
    "\"\"", "\"AAAA\"", "\"A\"", "\"%s%n\"", "\"\\u001b[2J\"", "\"ports\"",
    "\"kept\"", "\"stop\"", "\"map\"", "\"hello\"", "[]", "{}", "[0]",
    "[[[[[[]]]]]]", "{\"a\": {}}", "[4096, -4096, \"4096\"]",
};

/* JSON that ends the connection; the rest is not looked at. */
static const char *const bad_values[] = {
    "\"\\u0000\"", "\"\\ud800\"", "1e999", "", "[", "}", "tru", "'\"",
    "\"\x01\"", "\"\xff\"", "1, \"type\": \"stop\"",
    "1, \"seq\": 1, \"seq\": 2",
};

/* Bytes of the value at @at; strings here have no quotes and no brackets. */
static size_t value_bytes(const char *at)
{
    size_t len = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ",]}");
    int depth = 0;

    if (*at != '[' && *at != '{') {
        return len;
    }
    for (len = 0; !len || depth; len++) {
        depth += strchr("[{", at[len]) ? 1 : strchr("]}", at[len]) ? -1 : 0;
    }
    return len;
}

static void read_texts(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
        QObject *object = qobject_from_json(right_message[i], &error_abort);
        const char *at;

        text[i].json = qobject_to_json(object);
        text[i].value = g_array_new(false, false, sizeof(Span));
        qobject_unref(object);
        at = text[i].json->str;
        while ((at = strstr(at, "\": "))) {
            g_autofree char *before = g_strndup(text[i].json->str,
                                                at - text[i].json->str);
            Span span;

            /* A type that is no string ends the connection. */
            span.seldom = g_str_has_suffix(before, "\"type") ? 200 : 4;
            at += 3;
            span.begin = at - text[i].json->str;
            span.end = span.begin + value_bytes(at);
            g_array_append_val(text[i].value, span);
        }
    }
}

/* Put a message at @at, behind its length; its bytes. */
static size_t put_message(uint8_t *at)
{
    const Text *from = &text[below(ARRAY_SIZE(text))];
    const char *json = from->json->str;
    size_t done = 0, len = 4;

    for (unsigned n = 0; n < from->value->len && len < 1024; n++) {
        const Span *span = &g_array_index(from->value, Span, n);
        const char *value = below(500)
                            ? values[below(ARRAY_SIZE(values))]
                            : bad_values[below(ARRAY_SIZE(bad_values))];

        /* It may be within one that was replaced. */
        if (!below(span->seldom) && span->begin >= done) {
            memcpy(at + len, json + done, span->begin - done);
            len += span->begin - done;
            memcpy(at + len, value, strlen(value));
            len += strlen(value);
            done = span->end;
        }
    }
    memcpy(at + len, json + done, from->json->len - done);
    len += from->json->len - done;
    stl_be_p(at, len - 4);
    if (!below(100)) {
        damage(at + 4, len - 4);
    }
    if (!below(1000)) {
        damage(at, 4);
    }
    return len;
}

/* Into a struct, and back. */
static void check_parsed(const QDict *dict)
{
    Error *err = NULL;
    MemberMessage *message = message_parse(dict, &err);

    if (message) {
        g_autoptr(QDict) again = message_format(message);

        parsed++;
        if (err || !qobject_is_equal(QOBJECT(again), QOBJECT((QDict *)dict)) ||
            !rules_know(qdict_get_str(dict, "type"))) {
            g_error("%s is taken", qobject_to_json(QOBJECT(dict))->str);
        }
        qapi_free_MemberMessage(message);
    } else {
        const char *why = error_get_pretty(err);
        g_autofree char *shown = text_of_peer(why);

        malformed++;
        if (!*why || strcmp(why, shown)) {
            g_error("a refusal says: %s", why);
        }
        error_free(err);
    }
}

static void got_message(void *opaque, Channel *c, const QDict *dict,
                        size_t len)
{
    __lsan_enable();
    inputs++;
    ruled_out += !!rules_message(qdict_get_str(dict, "type"), len, below(3),
                                 below(3), below(PHASE_FORMED + 1));
    check_parsed(dict);
    __lsan_disable();
}

static void got_closed(void *opaque, Channel *c, const char *why)
{
    is_closed = true;
    closed++;
    if (!*why) {
        g_error("a connection is closed for no reason");
    }
}

static const ChannelListener message_listener = {
    .message = got_message,
    .closed = got_closed,
};

static void attack_messages(uint8_t *batch)
{
    QIOChannelSocket *sioc;
    Channel *channel;
    size_t len = 0;
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) {
        g_error("socketpair: %s", strerror(errno));
    }
    sioc = qio_channel_socket_new_fd(fd[0], &error_abort);
    channel = channel_new(QIO_CHANNEL(sioc), NULL, &message_listener, NULL);
    channel_set_trusted(channel);
    object_unref(OBJECT(sioc));
    is_closed = false;
    /* QEMU's parser forgets the value of a key that comes twice. */
    __lsan_disable();
    while (len < BATCH_BYTES - MESSAGE_BYTES_MAX && below(100)) {
        len += put_message(batch + len);
    }
    for (size_t at = 0; at < len && !is_closed; ) {
        size_t piece = MIN(below(8) ? len : 1 + below(100), len - at);
        ssize_t sent = send(fd[1], batch + at, piece, MSG_NOSIGNAL);

        at += MAX(sent, 0);
        g_main_context_iteration(NULL, false);
    }
    close(fd[1]);
    while (!is_closed) {
        g_main_context_iteration(NULL, true);
    }
    __lsan_enable();
    channel_free(channel);
}

/* ------------------------------------------------------------------ main */

static void want_key(void)
{
    g_autofree char *dir = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    g_autofree char *file = g_strdup_printf("%s/keys.psk", dir);

    g_file_set_contents(file, "qemu:0123456789abcdef0123456789abcdef\n", -1,
                        NULL);
    object_new_with_props(TYPE_QCRYPTO_TLS_CREDS_PSK,
                          object_get_objects_root(), "key", &error_abort,
                          "dir", dir, "endpoint", "server", NULL);
    credentials_load("key", NULL, false, false, &error_abort);
    unlink(file);
    rmdir(dir);
}

/* False: an outcome is missing, so the fuzzer has missed its mark. */
static bool report(const char *mode)
{
    printf("%s: %" PRIu64 " inputs, ", mode, inputs);
    if (!strcmp(mode, "stream")) {
        printf("%" PRIu64 " frames read, %" PRIu64 " bunches refused, %" PRIu64
               " streams lost\n", frames_read, bunches_refused, lost);
        return frames_read && bunches_refused;
    }
    if (!strcmp(mode, "message")) {
        printf("%" PRIu64 " parsed, %" PRIu64 " malformed, %" PRIu64
               " against a rule, %" PRIu64 " connections closed\n", parsed,
               malformed, ruled_out, closed);
        return parsed && malformed && ruled_out && closed;
    }
    printf("%" PRIu64 " doors opened, %" PRIu64 " shut\n", opened, shut);
    return shut && (opened || credentials_use_tls());
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "stream";
    double seconds = argc > 2 ? g_ascii_strtod(argv[2], NULL) : 5;
    uint64_t wanted = argc > 3 ? g_ascii_strtoull(argv[3], NULL, 10)
                               : UINT64_MAX;
    uint32_t seed = argc > 4 ? (uint32_t)atoi(argv[4]) : g_random_int();
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    static char *addresses[] = { (char *)"a:1", (char *)"b:1", (char *)"c:1",
                                 NULL };
    g_autofree uint8_t *batch = g_malloc(BATCH_BYTES);
    Transport *t;

    printf("fuzz-door: %s, seed %u\n", mode, seed);
    fflush(stdout);
    state = 0x9e3779b97f4a7c15ull ^ seed;
    module_call_init(MODULE_INIT_QOM);
    distkvm = g_new0(DistKVM, 1);
    distkvm->nodes = 3;
    distkvm->address = addresses;
    if (!strcmp(mode, "tls")) {
        want_key();
    } else {
        credentials_load(NULL, NULL, true, false, &error_abort);
    }
    read_texts();
    t = transport_stream_new(&stream_listener, NULL, &error_abort);
    while (inputs < wanted && g_get_monotonic_time() < end) {
        if (!strcmp(mode, "stream")) {
            attack_stream(t, batch);
        } else if (!strcmp(mode, "message")) {
            attack_messages(batch);
        } else {
            attack_door();
        }
    }
    t->ops->destroy(t);
    g_free(distkvm);
    return !report(mode);
}
