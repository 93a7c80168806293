/*
 * Requests that wait for a busy home
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/stalled.h"
#include "lane-fake.h"

static Stalled stalled;

static void setup(void)
{
    fake_init();
    memset(&stalled, 0, sizeof(stalled));
    stalled_part.init(&stalled, &fake.ctx);
}

static void add(uint8_t type, CohNodeId from, CohPage page)
{
    CohEvent ev = fake_event(type, from, page);

    stalled_add(&stalled, &ev);
}

static void test_order(void)
{
    setup();
    add(COH_EV_GETM, 2, 70);
    add(COH_EV_GETS, 0, 70);
    add(COH_EV_GETS, 0, 71);
    fake_events();
    fake_did("");
    stalled_next(&stalled, 70);
    fake_events();
    fake_did("GETM 70");
    stalled_next(&stalled, 70);
    fake_events();
    fake_did("GETS 70");
    stalled_next(&stalled, 70);
    fake_events();
    fake_did("");
    stalled_next(&stalled, 71);
    fake_events();
    fake_did("GETS 71");
    stalled_part.free(&stalled);
}

/* Once for the page and once for an operation is fair. */
static void test_twice(void)
{
    setup();
    add(COH_EV_GETM, 2, 70);
    add(COH_EV_GETV, 2, 70);
    add(COH_EV_GETS, 2, 71);
    fake_did("");
    add(COH_EV_GETS, 2, 70);
    fake_did("lost 2: it asked twice for the same page");
    add(COH_EV_GETV, 2, 70);
    fake_did("lost 2: it asked twice for the same page");
    stalled_next(&stalled, 70);
    stalled_next(&stalled, 70);
    stalled_next(&stalled, 70);
    fake_events();
    fake_did("GETM 70; GETV 70");
    stalled_part.free(&stalled);
}

/* Bytes stay with the operation that puts them, within a bound. */
static void test_bytes(void)
{
    char bytes[] = "abc";
    CohEvent ev = fake_event(COH_EV_GETV, 2, 70), *submitted;

    setup();
    ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .length = sizeof(bytes) };
    ev.bytes = bytes;
    stalled_add(&stalled, &ev);
    memset(bytes, 0, sizeof(bytes));
    stalled_next(&stalled, 70);
    submitted = g_queue_peek_head(&fake.ctx.events);
    g_assert_cmpstr(submitted->bytes, ==, "abc");
    fake_events();
    fake_did("GETV 70");
    for (unsigned i = 0; i < STALLED_PUTS_MAX; i++) {
        ev.page = 1000 + i;
        stalled_add(&stalled, &ev);
    }
    fake_did("");
    /* Another node, or one served: there is room. */
    ev.from = 0;
    stalled_add(&stalled, &ev);
    stalled_next(&stalled, 1000);
    fake_events();
    g_string_truncate(fake.did, 0);
    ev.from = 2;
    ev.page = 70;
    stalled_add(&stalled, &ev);
    fake_did("");
    ev.page = 71;
    stalled_add(&stalled, &ev);
    fake_did("lost 2: it puts too many bytes at once");
    stalled_part.free(&stalled);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stalled/order", test_order);
    g_test_add_func("/stalled/twice", test_twice);
    g_test_add_func("/stalled/bytes", test_bytes);
    return g_test_run();
}
