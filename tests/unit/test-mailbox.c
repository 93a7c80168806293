/*
 * Orders of other threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/mailbox.h"
#include "lane-fake.h"

static Mailbox mailbox;
static Outbox outbox;
static bool stop;

void outbox_send(Outbox *to_use, CohNodeId to, WireFrame *frame)
{
    g_assert_true(to_use == &outbox);
    fake_do("send %d: %.*s", to, (int)frame->len,
            (const char *)frame->payload);
}

static void setup(void)
{
    fake_init();
    memset(&mailbox, 0, sizeof(mailbox));
    mailbox.outbox = &outbox;
    mailbox.lane = (Lane *)&fake;
    mailbox_part.init(&mailbox, &fake.ctx);
}

static void call_note(Lane *lane, void *opaque)
{
    g_assert_true(lane == (Lane *)&fake);
    fake_do("call %s", (const char *)opaque);
}

static void call_count(Lane *lane, void *opaque)
{
    ++*(int *)opaque;
}

static void test_order(void)
{
    char text[] = "first";
    WireFrame frame = { .len = 5, .payload = text };

    setup();
    g_assert_true(mailbox_is_empty(&mailbox));
    g_assert_false(mailbox_part.run(&mailbox));
    mailbox_post(&mailbox, 2, &frame);
    /* It was copied. */
    memcpy(text, "later", 5);
    mailbox_post(&mailbox, 0, &frame);
    g_assert_false(mailbox_call(&mailbox, call_note, (void *)"one", 0));
    g_assert_false(mailbox_call(&mailbox, call_note, (void *)"two", 0));
    g_assert_false(mailbox_is_empty(&mailbox));
    fake_did("");
    g_assert_true(mailbox_part.run(&mailbox));
    fake_did("send 2: first; send 0: later; call one; call two");
    g_assert_true(mailbox_is_empty(&mailbox));
    g_assert_false(mailbox_part.run(&mailbox));
    mailbox_post(&mailbox, 2, &frame);
    g_assert_true(mailbox_part.run(&mailbox));
    mailbox_call(&mailbox, call_note, (void *)"three", 0);
    g_assert_true(mailbox_part.run(&mailbox));
    fake_did("send 2: later; call three");
    mailbox_part.free(&mailbox);
}

/* An order that is never carried out is not lost memory. */
static void test_ends_with_orders(void)
{
    WireFrame frame = { .len = 0 };

    setup();
    mailbox_post(&mailbox, 2, &frame);
    mailbox_call(&mailbox, call_note, NULL, 0);
    mailbox_part.free(&mailbox);
    fake_did("");
}

static void test_kicks_sleepers_only(void)
{
    WireFrame frame = { .len = 0 };

    setup();
    mailbox_post(&mailbox, 2, &frame);
    g_assert_cmpint(mailbox.kick.set, ==, 0);
    mailbox_sleeps(&mailbox);
    mailbox_post(&mailbox, 2, &frame);
    g_assert_cmpint(mailbox.kick.set, ==, 1);
    mailbox_call(&mailbox, call_note, NULL, 0);
    mailbox_kick(&mailbox);
    g_assert_cmpint(mailbox.kick.set, ==, 3);
    mailbox_wakes(&mailbox, true);
    g_assert_cmpint(mailbox.kick.set, ==, 0);
    mailbox_kick(&mailbox);
    g_assert_cmpint(mailbox.kick.set, ==, 0);
    mailbox_part.free(&mailbox);
}

static void *lane_thread(void *unused)
{
    while (!qatomic_read(&stop)) {
        mailbox_part.run(&mailbox);
    }
    return NULL;
}

static void *caller_thread(void *calls)
{
    static const bool hung;

    for (int i = 0; i < 2000; i++) {
        g_assert_true(mailbox_call_done(&mailbox, call_count, calls, &hung));
    }
    return NULL;
}

/* A call that was waited for is done, with several callers at once. */
static void test_waits(void)
{
    GThread *caller[3], *lane;
    int calls = 0;

    setup();
    stop = false;
    lane = g_thread_new("lane", lane_thread, NULL);
    for (int i = 0; i < 3; i++) {
        caller[i] = g_thread_new("caller", caller_thread, &calls);
    }
    for (int i = 0; i < 3; i++) {
        g_thread_join(caller[i]);
    }
    g_assert_cmpint(calls, ==, 6000);
    g_assert_true(mailbox_call(&mailbox, call_count, &calls, 60000));
    qatomic_set(&stop, true);
    g_thread_join(lane);
    g_assert_cmpint(calls, ==, 6001);
    mailbox_part.free(&mailbox);
}

/* No thread runs the lane: the call ends all the same, and stays an order. */
static void test_hung(void)
{
    const bool hung = true;
    int calls = 0;

    setup();
    g_assert_false(mailbox_call_done(&mailbox, call_count, &calls, &hung));
    g_assert_true(mailbox_part.run(&mailbox));
    g_assert_cmpint(calls, ==, 1);
    mailbox_part.free(&mailbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mailbox/order", test_order);
    g_test_add_func("/mailbox/ends-with-orders", test_ends_with_orders);
    g_test_add_func("/mailbox/kicks-sleepers-only", test_kicks_sleepers_only);
    g_test_add_func("/mailbox/waits", test_waits);
    g_test_add_func("/mailbox/hung", test_hung);
    return g_test_run();
}
