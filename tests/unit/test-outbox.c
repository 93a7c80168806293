/*
 * Frames that leave a lane: stamps, batches, corks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/outbox.h"
#include "accel/distkvm/wire/wire.h"
#include "lane-fake.h"

static Outbox outbox;
static WireFrame last;
static uint8_t payload[WIRE_PAYLOAD_MAX];

static void fake_send(Transport *t, CohNodeId peer, const void *head,
                      size_t head_len, const void *body, size_t len)
{
    uint8_t bytes[WIRE_FRAME_MAX];

    memcpy(bytes, head, head_len);
    if (len) {
        memcpy(bytes + head_len, body, len);
    }
    g_assert_true(wire_decode(bytes, head_len + len, &last));
    memcpy(payload, last.payload, last.len);
    last.payload = payload;
    fake_do("%s %d+%u to %d", coh_event_name(last.sub), (int)last.coh.page,
            last.coh.more, peer);
}

static void fake_cork(Transport *t, bool cork)
{
    fake_do(cork ? "cork" : "uncork");
}

static void fake_push(Transport *t, CohNodeId peer)
{
    fake_do("push %d", peer);
}

static const TransportOps ops = {
    .send = fake_send, .cork = fake_cork, .push = fake_push,
};
static Transport transport = { .ops = &ops };

/* Bytes of a WIRE_COH frame before its payload. */
static size_t front_bytes(void)
{
    const WireFrame frame = { .type = WIRE_COH, .sub = COH_EV_GETS };
    uint8_t front[WIRE_FRONT_MAX];

    return wire_encode(&frame, front);
}

static void setup(void)
{
    fake_init();
    fake.ctx.transport = &transport;
    memset(&outbox, 0, sizeof(outbox));
    outbox_part.init(&outbox, &fake.ctx);
}

static void request(uint8_t type, CohNodeId to, CohPage page)
{
    WireFrame frame = {
        .type = WIRE_COH, .sub = type,
        .coh = { .page = page, .version = 1000 + page },
    };

    outbox_send_request(&outbox, to, &frame);
}

static void test_stamps(void)
{
    setup();
    fake.guest_ns = 77;
    request(COH_EV_GETS, 0, 5);
    fake_did("GETS 5+0 to 0");
    g_assert_cmpint(last.from, ==, FAKE_SELF);
    g_assert_cmpint(last.clock_ns, ==, 77);
    g_assert_cmpint(last.coh.version, ==, 1005);
    g_assert_cmpint(fake.ctx.stats.frames_sent, ==, 1);
    g_assert_cmpint(fake.ctx.stats.bytes_sent, ==, front_bytes());
}

static void test_batch(void)
{
    setup();
    outbox_begin_batch(&outbox);
    request(COH_EV_GETS, 0, 5);
    request(COH_EV_GETS, 0, 6);
    request(COH_EV_GETS, 0, 9);
    fake_did("");
    outbox_end_batch(&outbox);
    fake_did("GETS 5+2 to 0");
    g_assert_true(page_list_is_valid(&last));
    g_assert_cmpint(page_list_get(&last, 0).page, ==, 6);
    g_assert_cmpint(page_list_get(&last, 1).page, ==, 9);
    g_assert_cmpint(page_list_get(&last, 1).version, ==, 1009);
    /* It has ended. */
    request(COH_EV_GETS, 0, 7);
    fake_did("GETS 7+0 to 0");
    g_assert_cmpint(fake.ctx.stats.bytes_sent, ==,
                    2 * front_bytes() + 2 * PAGE_LIST_ITEM_BYTES);
}

/* Another home, another kind: each has a batch; others do not wait. */
static void test_batch_is_of_one_kind(void)
{
    setup();
    outbox_begin_batch(&outbox);
    request(COH_EV_GETS, 0, 5);
    request(COH_EV_GETS, 2, 130);
    fake_did("GETS 5+0 to 0");
    request(COH_EV_GETM, 2, 131);
    fake_did("GETS 130+0 to 2");
    request(COH_EV_PUT, 2, 140);
    fake_did("PUT 140+0 to 2");
    outbox_end_batch(&outbox);
    fake_did("GETM 131+0 to 2");
}

static void test_batch_is_full(void)
{
    setup();
    outbox_begin_batch(&outbox);
    for (unsigned n = 0; n < PAGE_LIST_MAX; n++) {
        request(COH_EV_GETS, 0, n);
    }
    fake_did("");
    request(COH_EV_GETS, 0, 500);
    fake_did("GETS 0+127 to 0");
    g_assert_cmpint(page_list_get(&last, 126).page, ==, 127);
    outbox_end_batch(&outbox);
    fake_did("GETS 500+0 to 0");
}

static void test_corks_nest(void)
{
    setup();
    outbox_cork(&outbox);
    outbox_cork(&outbox);
    fake_did("cork");
    outbox_uncork(&outbox);
    fake_did("");
    outbox_uncork(&outbox);
    fake_did("uncork");
}

/* A whole pass, where page walks count as writes. */
static void test_pass(void)
{
    setup();
    g_assert_false(outbox_cork_pass.run(&outbox));
    g_assert_false(outbox_uncork_pass.run(&outbox));
    fake_did("");
    fake.config.walks_write = true;
    g_assert_false(outbox_cork_pass.run(&outbox));
    fake_did("cork");
    g_assert_false(outbox_uncork_pass.run(&outbox));
    fake_did("uncork");
}

/* A third node waits: answers to a frame that came alone do not. */
static void test_pushes(void)
{
    setup();
    outbox_cork(&outbox);
    outbox_answer_single(&outbox);
    request(COH_EV_FWD_GETM, 2, 5);
    fake_did("cork; FWD_GETM 5+0 to 2; push 2");
    request(COH_EV_DATA_M, 2, 5);
    fake_did("DATA_M 5+0 to 2");
    outbox_uncork(&outbox);
    fake_did("uncork");
    request(COH_EV_INV, 2, 5);
    fake_did("INV 5+0 to 2");
}

static uint64_t sent(EngineBytes kind)
{
    return fake.ctx.stats.sent_by_kind[kind];
}

/* Every byte is of one kind. */
static void test_kinds(void)
{
    static const struct {
        uint8_t type, sub;
        size_t len;
        EngineBytes kind;
    } cases[] = {
        { WIRE_COH, COH_EV_DATA_S, COH_PAGE_SIZE, ENGINE_BYTES_PAGES },
        { WIRE_COH, COH_EV_DATA_M, 72, ENGINE_BYTES_BLOCKS },
        { WIRE_COH, COH_EV_DATA_M, 0, ENGINE_BYTES_PROTOCOL },
        { WIRE_COH, COH_EV_GETM, 0, ENGINE_BYTES_PROTOCOL },
        { WIRE_COH, COH_EV_VALUE, COH_OP_BYTES, ENGINE_BYTES_OPERATIONS },
        { WIRE_EOI, 0, 0, ENGINE_BYTES_SERVICES },
    };
    static const uint8_t bytes[COH_PAGE_SIZE];

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        WireFrame frame = {
            .type = cases[i].type, .sub = cases[i].sub,
            .payload = bytes, .len = cases[i].len,
        };
        uint64_t sum = 0;

        setup();
        outbox_send(&outbox, 0, &frame);
        for (unsigned kind = 0; kind < ENGINE_BYTES__MAX; kind++) {
            sum += sent(kind);
        }
        g_assert_cmpint(sum, ==, fake.ctx.stats.bytes_sent);
        g_assert_cmpint(sum, >, cases[i].len);
        g_assert_cmpint(sent(cases[i].kind), ==, sum);
    }
}

static void test_lists(void)
{
    uint8_t list[2 * PAGE_LIST_ITEM_BYTES];
    WireFrame frame = {
        .sub = COH_EV_GETM, .coh.more = 2, .len = sizeof(list), .payload = list,
    };
    PageListItem item = { .page = UINT64_MAX, .version = 0x0102030405060708 };

    page_list_put(list, 1, &item);
    g_assert_true(page_list_is_valid(&frame));
    g_assert_cmpuint(page_list_get(&frame, 1).page, ==, UINT64_MAX);
    g_assert_cmpuint(page_list_get(&frame, 1).version, ==, item.version);
    g_assert_cmpint(list[PAGE_LIST_ITEM_BYTES + 8], ==, 8);
    frame.len--;
    g_assert_false(page_list_is_valid(&frame));
    frame.coh.more = PAGE_LIST_MAX;
    frame.len = frame.coh.more * PAGE_LIST_ITEM_BYTES;
    g_assert_false(page_list_is_valid(&frame));
    frame.coh.more--;
    frame.len = frame.coh.more * PAGE_LIST_ITEM_BYTES;
    g_assert_true(page_list_is_valid(&frame));
    frame.sub = COH_EV_PUT;
    g_assert_false(page_list_is_valid(&frame));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/outbox/stamps", test_stamps);
    g_test_add_func("/outbox/batch", test_batch);
    g_test_add_func("/outbox/batch-of-one-kind", test_batch_is_of_one_kind);
    g_test_add_func("/outbox/batch-is-full", test_batch_is_full);
    g_test_add_func("/outbox/corks-nest", test_corks_nest);
    g_test_add_func("/outbox/pass", test_pass);
    g_test_add_func("/outbox/pushes", test_pushes);
    g_test_add_func("/outbox/kinds", test_kinds);
    g_test_add_func("/outbox/lists", test_lists);
    return g_test_run();
}
