/*
 * Frames that arrive
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/inbox.h"
#include "accel/distkvm/wire/wire.h"
#include "lane-fake.h"

static Inbox inbox;
static bool can_decode;
static int polls;

/* ------------------------------------------------------- the parts below */

void alive_frame(Alive *to, const WireFrame *frame)
{
    fake_do("ping");
}

bool codec_get_page(Codec *to, const WireFrame *frame, const void **data)
{
    *data = frame->payload;
    return can_decode;
}

void codec_store_received(Codec *to, const WireFrame *frame, const void *data)
{
    fake_do("store %d", (int)frame->coh.page);
}

void deliver_event(Deliver *to, const CohEvent *ev, const void *data)
{
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
}

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    fake_do("list's %s %d version %d", coh_event_name(ev->type),
            (int)ev->page, (int)ev->have);
}

bool executor_carries_op(uint8_t type)
{
    return type == COH_EV_VALUE;
}

bool faults_read(Faults *to)
{
    fake_do("faults");
    return true;
}

void frame_count_received(FrameCount *to, const WireFrame *frame)
{
    fake_do("counted");
}

void late_heard(Late *to, CohPage page, CohNodeId from)
{
    fake_do("heard %d", from);
}

void late_frame(Late *to, const WireFrame *frame)
{
    fake_do("late");
}

void outbox_cork(Outbox *to)
{
    fake_do("cork");
}

void outbox_uncork(Outbox *to)
{
    fake_do("uncork");
}

void outbox_answer_single(Outbox *to)
{
    fake_do("single");
}

void preprotect_begin(Preprotect *to, const WireFrame *frame)
{
    fake_do("protect");
}

void preprotect_end(Preprotect *to)
{
    fake_do("unprotect");
}

void requests_run_moved(Requests *to)
{
    fake_do("moved");
}

bool requests_run_events(Requests *to)
{
    fake_do("events");
    return false;
}

/* ---------------------------------------------------------------- frames */

static uint8_t buffer[8 * WIRE_FRAME_MAX];
static size_t filled;

static void setup(void)
{
    fake_init();
    can_decode = true;
    filled = 0;
    memset(&inbox, 0, sizeof(inbox));
    inbox_part.init(&inbox, &fake.ctx);
}

/* Bytes of a WIRE_COH frame before its payload. */
static size_t front_bytes(void)
{
    const WireFrame frame = { .type = WIRE_COH, .sub = COH_EV_GETS };
    uint8_t front[WIRE_FRONT_MAX];

    return wire_encode(&frame, front);
}

static void add(WireFrame frame)
{
    frame.from = frame.from ?: 2;
    filled += wire_encode(&frame, buffer + filled);
    if (frame.len) {
        memcpy(buffer + filled, frame.payload, frame.len);
    }
    filled += frame.len;
}

static void receive(CohNodeId peer)
{
    inbox_listener.frames(&inbox, peer, buffer, filled);
    filled = 0;
}

static WireFrame coh(uint8_t type, CohPage page)
{
    return (WireFrame) { .type = WIRE_COH, .sub = type, .coh.page = page };
}

static void test_alone(void)
{
    setup();
    add(coh(COH_EV_GETS, FAKE_OWN));
    receive(2);
    fake_did("cork; single; GETS 64; moved; events; uncork");
    g_assert_cmpint(fake.ctx.stats.frames_received, ==, 1);
    g_assert_cmpint(fake.ctx.stats.bytes_received, ==, front_bytes());
    /* A thread was woken: it may want more. */
    fake.ctx.faults_pending = true;
    add(coh(COH_EV_ACK, FAKE_FAR));
    receive(2);
    fake_did("cork; single; heard 2; ACK 3; moved; events; faults; uncork");
}

/* Operations come before the next frame, which may take their page. */
static void test_several(void)
{
    static const uint8_t page[COH_PAGE_SIZE] = { 1 };
    WireFrame data = coh(COH_EV_DATA_M, FAKE_FAR);

    setup();
    data.payload = page;
    data.len = sizeof(page);
    add(data);
    add(coh(COH_EV_INV, 9));
    receive(2);
    /* The snapshot is stored before anything can be asked for. */
    fake_did("cork; heard 2; DATA_M 3; store 3; moved; INV 9; moved; events; "
             "uncork");
    g_assert_cmpint(fake.ctx.stats.frames_received, ==, 2);
}

static WireFrame list(uint8_t *items, unsigned n, CohPage first)
{
    WireFrame frame = coh(COH_EV_GETS, first);

    frame.coh.version = first;
    frame.coh.more = n - 1;
    frame.payload = items;
    frame.len = (n - 1) * PAGE_LIST_ITEM_BYTES;
    for (unsigned i = 1; i < n; i++) {
        PageListItem item = { .page = first + i, .version = first + i };

        page_list_put(items, i - 1, &item);
    }
    return frame;
}

static void test_list(void)
{
    static uint8_t items[PAGE_LIST_MAX * PAGE_LIST_ITEM_BYTES];

    setup();
    add(list(items, 3, FAKE_OWN));
    receive(2);
    fake_did("events; protect; list's GETS 64 version 64; "
             "list's GETS 65 version 65; list's GETS 66 version 66; events; "
             "unprotect; moved; events");
    /* A long one leaves together; a walk's tables always. */
    add(list(items, 17, FAKE_OWN));
    receive(2);
    g_assert_true(g_str_has_prefix(fake.did->str, "cork; events; protect; "));
    g_assert_true(g_str_has_suffix(fake.did->str,
                                   "unprotect; uncork; moved; events"));
    g_string_truncate(fake.did, 0);
    fake.config.walks_write = true;
    add(list(items, 2, FAKE_OWN));
    receive(2);
    g_assert_true(g_str_has_prefix(fake.did->str, "cork; events; protect; "));
    g_string_truncate(fake.did, 0);
    /* It names a page that does not exist. */
    fake.config.walks_write = false;
    add(list(items, 2, FAKE_PAGES - 1));
    receive(2);
    fake_did("events; protect; list's GETS 191 version 191; events; "
             "unprotect; lost 2: it named a page that does not exist, or of "
             "another lane; events");
}

/* One that sends nonsense is blamed once, and heard no more. */
static void test_nonsense(void)
{
    WireFrame bad = coh(COH_EV_GETS, FAKE_OWN);

    setup();
    bad.from = 1;
    add(bad);
    add(coh(COH_EV_GETS, FAKE_OWN));
    receive(2);
    fake_did("lost 2: it sent a frame as node 1; events");
    add(coh(COH_EV_GETS, FAKE_OWN));
    receive(2);
    fake_did("");
    inbox_admit(&inbox, 2);
    memset(buffer, 0xff, 100);
    filled = 100;
    receive(2);
    fake_did("lost 2: it sent a frame that cannot be read; events");
    inbox_admit(&inbox, 2);
    add(coh(COH_EV_GETS, FAKE_PAGES));
    receive(2);
    fake_did("cork; single; lost 2: it named a page that does not exist, or "
             "of another lane; events; uncork");
    inbox_admit(&inbox, 2);
    can_decode = false;
    add(coh(COH_EV_DATA_S, FAKE_FAR));
    receive(2);
    fake_did("cork; single; lost 2: it sent a page or an operation that "
             "cannot be put together; events; uncork");
    inbox_admit(&inbox, 2);
    bad = coh(COH_EV_GETS, FAKE_OWN);
    bad.clock_ns = -1;
    add(bad);
    receive(2);
    fake_did("cork; single; lost 2: its clock is absurd; events; uncork");
    inbox_admit(&inbox, 2);
    add((WireFrame) { .type = WIRE_COH, .sub = 200 });
    receive(2);
    g_assert_true(g_str_has_prefix(fake.did->str,
                                   "cork; single; lost 2: it sent "));
}

static void test_other_types(void)
{
    static const uint8_t zeroes[COH_PAGE_SIZE];
    WireFrame ping = {
        .type = WIRE_PING, .sub = WIRE_PING_ASK, .len = sizeof(zeroes),
        .payload = zeroes,
    };

    setup();
    add(ping);
    add((WireFrame) {
        .type = WIRE_LATE, .sub = WIRE_LATE_MISSED, .late.page = FAKE_OWN,
    });
    add((WireFrame) { .type = WIRE_IRQ, .sub = WIRE_IRQ_NMI });
    receive(2);
    fake_did("cork; ping; late; frame of type 2 from 2; counted; events; "
             "uncork");
    /* After a loss the nodes that are left still answer pings. */
    fake.ctx.phase = LANE_FAILED;
    add(ping);
    add(coh(COH_EV_GETS, FAKE_OWN));
    receive(2);
    fake_did("cork; ping; events; uncork");
}

/* The sender's time is seen before the effect. */
static void test_time(void)
{
    WireFrame frame = coh(COH_EV_INV, FAKE_FAR);

    setup();
    frame.clock_ns = 1234;
    add(frame);
    receive(2);
    g_assert_cmpint(fake.guest_ns, ==, 1234);
}

static bool fake_poll(Transport *transport)
{
    return polls && polls--;
}

static void test_polls(void)
{
    static const TransportOps ops = { .poll = fake_poll };
    Transport transport = { .ops = &ops };

    setup();
    fake.ctx.transport = &transport;
    g_assert_false(inbox_part.run(&inbox));
    fake_did("");
    polls = 2;
    g_assert_true(inbox_part.run(&inbox));
    fake_did("events; events");
    polls = 1000;
    g_assert_true(inbox_part.run(&inbox));
    g_assert_cmpint(polls, >, 900);
    g_string_truncate(fake.did, 0);
    inbox_listener.lost(&inbox, 2, "reset");
    fake_did("closed 2: lane 0: reset");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inbox/alone", test_alone);
    g_test_add_func("/inbox/several", test_several);
    g_test_add_func("/inbox/list", test_list);
    g_test_add_func("/inbox/nonsense", test_nonsense);
    g_test_add_func("/inbox/other-types", test_other_types);
    g_test_add_func("/inbox/time", test_time);
    g_test_add_func("/inbox/polls", test_polls);
    return g_test_run();
}
