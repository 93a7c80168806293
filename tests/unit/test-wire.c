/*
 * Frames survive the wire, and nothing malformed does
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/wire.h"

static const WireFrame sample = {
    .type = WIRE_COH, .sub = 9, .from = 3, .epoch = 0x01020304,
    .clock_ns = -5,
    .coh = {
        .page = 0x1122334455667788, .version = 0x99aabbccddeeff00,
        .more = 5, .requester = COH_NODE_NONE, .acks = -2,
    },
};

static size_t encode(const WireFrame *frame, uint8_t *buf)
{
    size_t front = wire_encode(frame, buf);

    if (frame->len) {
        memcpy(buf + front, frame->payload, frame->len);
    }
    return front + frame->len;
}

static void test_round_trip(void)
{
    uint8_t page[COH_PAGE_SIZE], buf[WIRE_FRAME_MAX];
    WireFrame in = sample, out;

    memset(page, 0x5a, sizeof(page));
    in.len = sizeof(page);
    in.payload = page;
    g_assert_true(wire_decode(buf, encode(&in, buf), &out));
    g_assert_cmpint(out.type, ==, in.type);
    g_assert_cmpint(out.sub, ==, in.sub);
    g_assert_cmpint(out.from, ==, in.from);
    g_assert_cmphex(out.epoch, ==, in.epoch);
    g_assert_cmpint(out.clock_ns, ==, in.clock_ns);
    g_assert_cmphex(out.coh.page, ==, in.coh.page);
    g_assert_cmphex(out.coh.version, ==, in.coh.version);
    g_assert_cmpint(out.coh.more, ==, in.coh.more);
    g_assert_cmpint(out.coh.requester, ==, in.coh.requester);
    g_assert_cmpint(out.coh.acks, ==, in.coh.acks);
    g_assert_cmpint(out.len, ==, in.len);
    g_assert_cmpint(memcmp(out.payload, page, sizeof(page)), ==, 0);
}

/* The bytes are the documented ones, on any host. */
static void test_layout(void)
{
    uint8_t buf[WIRE_FRONT_MAX];

    g_assert_cmpint(wire_encode(&sample, buf), ==, 48);
    g_assert_cmphex(buf[0], ==, 'D');
    g_assert_cmphex(buf[1], ==, 'K');
    g_assert_cmphex(buf[2], ==, WIRE_VERSION);
    g_assert_cmphex(buf[8], ==, 24);
    g_assert_cmphex(buf[12], ==, 0x04);
    g_assert_cmphex(buf[24], ==, 0x88);
    g_assert_cmphex(buf[31], ==, 0x11);
}

static void test_truncated(void)
{
    uint8_t buf[WIRE_FRAME_MAX] = { 0 };
    WireFrame frame = sample, out;
    size_t whole;

    frame.len = COH_PAGE_SIZE;
    whole = wire_encode(&frame, buf) + COH_PAGE_SIZE;
    for (size_t len = 0; len < whole; len++) {
        g_assert_false(wire_decode(buf, len, &out));
    }
    g_assert_true(wire_decode(buf, whole, &out));
}

static void test_malformed(void)
{
    /* Offset of a byte and a value that makes the frame invalid. */
    static const struct { int at; uint8_t value; } bad[] = {
        { 0, 'X' }, { 1, 'X' }, { 2, WIRE_VERSION + 1 }, { 3, 0 },
        { 3, WIRE__MAX }, { 5, 0x80 }, { 6, COH_NODES_MAX }, { 7, 1 },
        { 8, 23 }, { 8, 25 }, { 11, 0xff }, { 40, 128 }, { 46, 2 },
        { 47, 1 },
    };
    uint8_t buf[WIRE_FRONT_MAX];
    WireFrame out;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        size_t len = wire_encode(&sample, buf);

        g_assert_true(wire_decode(buf, len, &out));
        buf[bad[i].at] = bad[i].value;
        g_assert_false(wire_decode(buf, len, &out));
    }
}

/* A payload of more than a page, with a head that says so. */
static void test_too_long(void)
{
    g_autofree uint8_t *buf = g_malloc0(WIRE_FRAME_MAX + 1);
    WireFrame frame = { .type = WIRE_TOKEN, .len = WIRE_PAYLOAD_MAX }, out;

    g_assert_true(wire_decode(buf, wire_encode(&frame, buf) + frame.len,
                              &out));
    frame.len++;
    g_assert_false(wire_decode(buf, wire_encode(&frame, buf) + frame.len,
                               &out));
}

/* Decoding stays within any bytes. */
static void test_random(void)
{
    uint8_t *buf = g_malloc(WIRE_FRAME_MAX);
    unsigned decoded = 0;
    WireFrame out;

    for (int n = 0; n < 200000; n++) {
        size_t len = g_test_rand_int_range(0, WIRE_FRONT_MAX * 2);
        size_t front = 0;

        for (size_t i = 0; i < len; i++) {
            buf[i] = g_test_rand_int();
        }
        if (len >= WIRE_FRONT_MAX && n & 1) {
            front = wire_encode(&sample, buf);
            len = front;
            buf[g_test_rand_int_range(0, front)] ^=
                1 << g_test_rand_int_range(0, 8);
        }
        if (wire_decode(buf, len, &out)) {
            const uint8_t *payload = out.payload;

            decoded++;
            g_assert_true(payload + out.len == buf + len);
            g_assert_cmpint(out.from, <, COH_NODES_MAX);
            g_assert_cmpint(out.coh.more, <, 128);
        }
    }
    g_assert_cmpint(decoded, >, 0);
    g_free(buf);
}

/* Several frames, one behind the other; and such that do not end well. */
static void test_several(void)
{
    enum { FRAMES = 5, LEN = 7, WHOLE = 48 + LEN };
    const size_t whole = FRAMES * WHOLE;
    uint8_t buf[FRAMES * WHOLE];

    for (unsigned i = 0; i < FRAMES; i++) {
        WireFrame frame = sample;

        frame.coh.more = i;
        frame.len = LEN;
        frame.payload = "payload";
        g_assert_cmpint(encode(&frame, buf + i * WHOLE), ==, WHOLE);
    }
    for (size_t cut = 0; cut <= whole; cut++) {
        g_autofree uint8_t *exact = g_memdup2(buf, whole - cut);
        const uint8_t *at = exact;
        size_t len = whole - cut;
        unsigned n = 0;
        WireFrame out;

        while (wire_next(&at, &len, &out)) {
            g_assert_cmpint(out.coh.more, ==, n);
            g_assert_cmpint(memcmp(out.payload, "payload", LEN), ==, 0);
            n++;
        }
        g_assert_cmpint(n, ==, (whole - cut) / WHOLE);
        g_assert_cmpint(len, ==, (whole - cut) % WHOLE);
        g_assert_true(at == exact + (whole - cut) - len);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/round-trip", test_round_trip);
    g_test_add_func("/wire/layout", test_layout);
    g_test_add_func("/wire/truncated", test_truncated);
    g_test_add_func("/wire/several", test_several);
    g_test_add_func("/wire/malformed", test_malformed);
    g_test_add_func("/wire/too-long", test_too_long);
    g_test_add_func("/wire/random", test_random);
    return g_test_run();
}
