/*
 * Frames survive the wire, and nothing malformed does
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/wire.h"

static const WireFrame sample = {
    .type = WIRE_COH, .sub = 9, .from = 3, .requester = COH_NODE_NONE,
    .acks = -2, .epoch = 0x01020304, .arg = 0x05060708,
    .addr = 0x1122334455667788, .id = 0x99aabbccddeeff00,
    .clock_ns = -5,
};

static void encode(const WireFrame *frame, uint8_t *buf)
{
    wire_encode_head(frame, buf);
    if (frame->len) {
        memcpy(buf + WIRE_HEAD_BYTES, frame->payload, frame->len);
    }
}

static void test_round_trip(void)
{
    uint8_t page[COH_PAGE_SIZE], buf[WIRE_FRAME_MAX];
    WireFrame in = sample, out;

    memset(page, 0x5a, sizeof(page));
    in.len = sizeof(page);
    in.payload = page;
    encode(&in, buf);
    g_assert_true(wire_decode(buf, WIRE_HEAD_BYTES + in.len, &out));
    g_assert_cmpint(out.type, ==, in.type);
    g_assert_cmpint(out.sub, ==, in.sub);
    g_assert_cmpint(out.from, ==, in.from);
    g_assert_cmpint(out.requester, ==, in.requester);
    g_assert_cmpint(out.acks, ==, in.acks);
    g_assert_cmphex(out.epoch, ==, in.epoch);
    g_assert_cmphex(out.arg, ==, in.arg);
    g_assert_cmphex(out.addr, ==, in.addr);
    g_assert_cmphex(out.id, ==, in.id);
    g_assert_cmpint(out.clock_ns, ==, in.clock_ns);
    g_assert_cmpint(out.len, ==, in.len);
    g_assert_cmpint(memcmp(out.payload, page, sizeof(page)), ==, 0);
}

/* The bytes are the documented ones, on any host. */
static void test_layout(void)
{
    uint8_t buf[WIRE_HEAD_BYTES];

    wire_encode_head(&sample, buf);
    g_assert_cmphex(buf[0], ==, 'D');
    g_assert_cmphex(buf[1], ==, 'K');
    g_assert_cmphex(buf[2], ==, WIRE_VERSION);
    g_assert_cmphex(buf[16], ==, 0x88);
    g_assert_cmphex(buf[23], ==, 0x11);
    g_assert_cmphex(buf[40], ==, 0x04);
}

static void test_truncated(void)
{
    uint8_t buf[WIRE_FRAME_MAX] = { 0 };
    WireFrame frame = sample, out;

    frame.len = COH_PAGE_SIZE;
    wire_encode_head(&frame, buf);
    for (size_t len = 0; len < WIRE_FRAME_MAX; len++) {
        g_assert_false(wire_decode(buf, len, &out));
    }
    g_assert_true(wire_decode(buf, WIRE_FRAME_MAX, &out));
}

static void test_malformed(void)
{
    /* Offset of a byte and a value that makes the frame invalid. */
    static const struct { int at; uint8_t value; } bad[] = {
        { 0, 'X' }, { 1, 'X' }, { 2, WIRE_VERSION + 1 }, { 3, 0 },
        { 3, WIRE__MAX }, { 5, 0x80 }, { 6, COH_NODES_MAX }, { 7, 1 },
        { 12, 1 }, { 15, 0xff },
    };
    uint8_t buf[WIRE_HEAD_BYTES];
    WireFrame out;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        wire_encode_head(&sample, buf);
        g_assert_true(wire_decode(buf, sizeof(buf), &out));
        buf[bad[i].at] = bad[i].value;
        g_assert_false(wire_decode(buf, sizeof(buf), &out));
    }
}

/* Whatever the bytes, decoding stays within them. */
static void test_random(void)
{
    uint8_t *buf = g_malloc(WIRE_FRAME_MAX);
    WireFrame out;

    for (int n = 0; n < 200000; n++) {
        size_t len = g_test_rand_int_range(0, WIRE_HEAD_BYTES * 2);

        for (size_t i = 0; i < len; i++) {
            buf[i] = g_test_rand_int();
        }
        if (len >= WIRE_HEAD_BYTES && n & 1) {
            wire_encode_head(&sample, buf);
            buf[g_test_rand_int_range(0, WIRE_HEAD_BYTES)] ^=
                1 << g_test_rand_int_range(0, 8);
        }
        if (wire_decode(buf, len, &out)) {
            g_assert_cmpint(out.len, ==, len - WIRE_HEAD_BYTES);
            g_assert_cmpint(out.from, <, COH_NODES_MAX);
        }
    }
    g_free(buf);
}

/* Several frames, one behind the other; and such that do not end well. */
static void test_several(void)
{
    enum { FRAMES = 5, LEN = 7 };
    const size_t whole = FRAMES * (WIRE_HEAD_BYTES + LEN);
    uint8_t buf[FRAMES * (WIRE_HEAD_BYTES + LEN)];

    for (unsigned i = 0; i < FRAMES; i++) {
        WireFrame frame = sample;

        frame.arg = i;
        frame.len = LEN;
        frame.payload = "payload";
        encode(&frame, buf + i * (WIRE_HEAD_BYTES + LEN));
    }
    for (size_t cut = 0; cut <= whole; cut++) {
        g_autofree uint8_t *exact = g_memdup2(buf, whole - cut);
        const uint8_t *at = exact;
        size_t len = whole - cut;
        unsigned n = 0;
        WireFrame out;

        while (wire_next(&at, &len, &out)) {
            g_assert_cmpint(out.arg, ==, n);
            g_assert_cmpint(memcmp(out.payload, "payload", LEN), ==, 0);
            n++;
        }
        g_assert_cmpint(n, ==, (whole - cut) / (WIRE_HEAD_BYTES + LEN));
        g_assert_cmpint(len, ==, (whole - cut) % (WIRE_HEAD_BYTES + LEN));
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
    g_test_add_func("/wire/random", test_random);
    return g_test_run();
}
