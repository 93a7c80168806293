/*
 * Pings, and orders that a lane takes up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/alive.h"
#include "lane-fake.h"

static Alive alive;
static Outbox outbox;

void outbox_send(Outbox *to_use, CohNodeId to, WireFrame *frame)
{
    g_assert_true(to_use == &outbox);
    fake_do("%s of %u to %d%s",
            frame->sub == WIRE_PING_ANSWER ? "answer" : "question",
            frame->len, to, frame->ping.woke ? ", woken" : "");
}

static void setup(void)
{
    fake_init();
    memset(&alive, 0, sizeof(alive));
    alive.outbox = &outbox;
    alive_part.init(&alive, &fake.ctx);
}

static void ping(uint8_t sub, CohNodeId from, uint32_t arg, uint32_t len)
{
    WireFrame frame = *alive_question();

    g_assert_cmpint(frame.type, ==, WIRE_PING);
    g_assert_cmpint(frame.sub, ==, WIRE_PING_ASK);
    g_assert_cmpint(frame.len, ==, COH_PAGE_SIZE);
    frame.sub = sub;
    frame.from = from;
    frame.ping.woke = arg;
    frame.len = len;
    alive_frame(&alive, &frame);
}

static void test_answers(void)
{
    setup();
    ping(WIRE_PING_ASK, 2, 0, COH_PAGE_SIZE);
    fake_did("answer of 4096 to 2");
    alive.woken = true;
    ping(WIRE_PING_ASK, 2, 0, 100);
    fake_did("answer of 100 to 2, woken");
    /* A lane that never sleeps need not be woken. */
    alive.woken = false;
    fake.config.spin_ns = 2000 * 1000;
    ping(WIRE_PING_ASK, 0, 0, 100);
    fake_did("answer of 100 to 0, woken");
}

static void test_is_answered(void)
{
    setup();
    g_assert_cmpint(alive_answered_ns(&alive, 2), ==, 0);
    ping(WIRE_PING_ANSWER, 2, 0, COH_PAGE_SIZE);
    g_assert_cmpint(alive_answered_ns(&alive, 2), ==, fake.now_ns);
    g_assert_cmpint(alive_answered_ns(&alive, 0), ==, 0);
    /* It did not sleep; or what was large got lost. */
    g_assert_false(alive_is_reached(&alive, 2));
    ping(WIRE_PING_ANSWER, 2, 1, 100);
    g_assert_false(alive_is_reached(&alive, 2));
    ping(WIRE_PING_ANSWER, 2, 1, COH_PAGE_SIZE);
    g_assert_true(alive_is_reached(&alive, 2));
    g_assert_false(alive_is_reached(&alive, 0));
    alive_connected(&alive, 2);
    g_assert_false(alive_is_reached(&alive, 2));
    fake_did("");
}

static void test_hangs(void)
{
    setup();
    g_assert_false(alive_hangs(&alive, 100));
    g_assert_true(alive_order(&alive, 55));
    g_assert_false(alive_order(&alive, 66));
    fake.now_ns += 100;
    g_assert_false(alive_hangs(&alive, 100));
    fake.now_ns++;
    g_assert_true(alive_hangs(&alive, 100));
    g_assert_cmpint(alive_take_up(&alive), ==, 55);
    g_assert_false(alive_hangs(&alive, 100));
    g_assert_true(alive_order(&alive, 66));
    g_assert_false(alive_hangs(&alive, 100));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/alive/answers", test_answers);
    g_test_add_func("/alive/is-answered", test_is_answered);
    g_test_add_func("/alive/hangs", test_hangs);
    return g_test_run();
}
