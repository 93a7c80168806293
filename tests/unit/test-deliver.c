/*
 * Requests for pages in use wait
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/deliver.h"
#include "lane-fake.h"

#define WINDOW_NS 100000
#define PAGE FAKE_FAR

static Deliver deliver;
static Executor executor;
static Hold hold;
static Waiters waiters;
static uint32_t blocked_tid;

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &executor);
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
    if (ev->bytes) {
        fake_do("bytes '%s'", (const char *)ev->bytes);
    }
}

bool waiters_is_blocked(const Waiters *of, uint32_t tid)
{
    g_assert_true(of == &waiters);
    return tid == blocked_tid;
}

static void setup(bool walks)
{
    fake_init();
    fake.config.hold_ns = WINDOW_NS;
    fake.config.walks_write = walks;
    blocked_tid = 0;
    deliver = (Deliver) {
        .executor = &executor, .hold = &hold, .waiters = &waiters,
    };
    deliver_part.init(&deliver, &fake.ctx);
}

static void come(uint8_t type, CohPage page)
{
    CohEvent ev = fake_event(type, 0, page);

    deliver_event(&deliver, &ev, NULL);
}

/* @page came for thread 7 just now. */
static void have(CohPage page, uint8_t state)
{
    fake_state(page, state);
    hold_installed(&hold, page, 7, fake.now_ns);
}

/* An operation waits for a pin, with its bytes. */
static void test_bytes(void)
{
    char bytes[] = "abc";
    CohEvent ev = fake_event(COH_EV_FWD_GETV, 0, PAGE);

    setup(false);
    have(PAGE, COH_PEER_M);
    fake.ctx.pinned = true;
    fake.ctx.locked[1] = PAGE;
    ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .length = sizeof(bytes) };
    ev.bytes = bytes;
    deliver_event(&deliver, &ev, NULL);
    memset(bytes, 0, sizeof(bytes));
    fake_did("");
    fake.now_ns += 20000;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("");
    fake.ctx.pinned = false;
    fake.now_ns += 20000;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETV 3; bytes 'abc'");
    fake.ctx.pinned = true;
    deliver_event(&deliver, &ev, NULL);
    deliver_part.fail(&deliver);
    deliver_event(&deliver, &ev, NULL);
    deliver_part.free(&deliver);
}

static void test_waits(void)
{
    setup(false);
    have(PAGE, COH_PEER_M);
    come(COH_EV_FWD_GETM, PAGE);
    fake_did("");
    g_assert_true(deliver_has_delayed(&deliver));
    g_assert_cmpint(deliver_part.due_ns(&deliver), ==,
                    fake.now_ns + WINDOW_NS);
    fake.now_ns += WINDOW_NS - 1;
    g_assert_false(deliver_part.run(&deliver));
    fake.now_ns++;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETM 3");
    g_assert_false(deliver_has_delayed(&deliver));
    g_assert_cmpint(deliver_part.due_ns(&deliver), ==, INT64_MAX);
    g_assert_false(deliver_part.run(&deliver));
    /* Now it is old enough. */
    come(COH_EV_INV, PAGE);
    fake_did("INV 3");
    deliver_part.free(&deliver);
}

/* Pages that are not held, and messages that take nothing away. */
static void test_passes(void)
{
    setup(false);
    have(PAGE, COH_PEER_M);
    come(COH_EV_FWD_GETS, 9);
    come(COH_EV_FWD_GETV, PAGE);
    come(COH_EV_DATA_M, PAGE);
    come(COH_EV_GETS, PAGE);
    fake_did("FWD_GETS 9; FWD_GETV 3; DATA_M 3; GETS 3");
    deliver_part.free(&deliver);
}

static void test_order(void)
{
    setup(false);
    have(1, COH_PEER_M);
    have(2, COH_PEER_S);
    come(COH_EV_INV, 2);
    come(COH_EV_FWD_GETS, 1);
    /* A second one for a page is for the tables. */
    come(COH_EV_INV, 2);
    fake_did("INV 2");
    fake.now_ns += WINDOW_NS;
    deliver_part.run(&deliver);
    fake_did("INV 2; FWD_GETS 1");
    deliver_part.free(&deliver);
}

static void test_pinned(void)
{
    setup(false);
    fake_state(PAGE, COH_PEER_M);
    fake_state(5, COH_PEER_S);
    fake.ctx.pinned = true;
    fake.ctx.locked[0] = PAGE;
    come(COH_EV_FWD_GETV, PAGE);
    come(COH_EV_INV, 5);
    fake_did("INV 5");
    fake.now_ns += 20000;
    g_assert_cmpint(deliver_part.due_ns(&deliver), ==, fake.now_ns);
    /* Still pinned. */
    g_assert_true(deliver_part.run(&deliver));
    fake_did("");
    g_assert_true(deliver_has_delayed(&deliver));
    fake.ctx.pinned = false;
    fake.now_ns += 20000;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETV 3");
    deliver_part.free(&deliver);
}

/* Of bytes that other nodes put, those for the LOCK's pages alone wait. */
static void test_pin_bounds(void)
{
    char bytes[] = "abc";

    setup(false);
    fake.ctx.pinned = true;
    fake.ctx.locked[0] = PAGE;
    fake.ctx.locked[1] = PAGE + 1;
    for (CohPage page = 0; page < FAKE_PAGES; page++) {
        CohEvent ev = fake_event(COH_EV_FWD_GETV, 0, page);

        fake_state(page, COH_PEER_M);
        ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .length = sizeof(bytes) };
        ev.bytes = bytes;
        deliver_event(&deliver, &ev, NULL);
    }
    g_assert_cmpuint(deliver.delayed->len, ==, 2);
    g_string_truncate(fake.did, 0);
    /* A page that would leave stays all the same. */
    come(COH_EV_FWD_GETM, 1);
    fake_did("");
    fake.ctx.pinned = false;
    fake.now_ns += 20000;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETV 3; bytes 'abc'; FWD_GETV 4; bytes 'abc'; FWD_GETM 1");
    deliver_part.free(&deliver);
}

/* A vCPU that halts uses nothing. */
static void test_idle(void)
{
    setup(false);
    hold_fetched(&hold, 1000000);
    have(PAGE, COH_PEER_M);
    come(COH_EV_FWD_GETM, PAGE);
    fake.now_ns += WINDOW_NS;
    g_assert_false(deliver_part.run(&deliver));
    fake.idle_tid = 7;
    g_assert_cmpint(deliver_part.due_ns(&deliver), ==, fake.now_ns);
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETM 3");
    deliver_part.free(&deliver);
}

/* Its own request waits behind this one. */
static void test_upgrading(void)
{
    setup(false);
    have(PAGE, COH_PEER_SM_AD);
    come(COH_EV_INV, PAGE);
    fake_did("INV 3");
    deliver_part.free(&deliver);
}

/* Threads that wait for each other's pages: one node at a time keeps. */
static void test_turns(void)
{
    setup(true);
    hold_fetched(&hold, 1000000);
    blocked_tid = 7;
    have(PAGE, COH_PEER_M);
    /* Node 1's turn. */
    fake.guest_ns = HOLD_TURN_NS;
    come(COH_EV_FWD_GETM, PAGE);
    fake_did("");
    fake.now_ns += WINDOW_NS;
    g_assert_false(deliver_part.run(&deliver));
    g_assert_cmpint(deliver_part.due_ns(&deliver), <=,
                    fake.now_ns + HOLD_TURN_NS);
    fake.guest_ns += HOLD_TURN_NS;
    g_assert_true(deliver_part.run(&deliver));
    fake_did("FWD_GETM 3");
    /* Of a thread that waits for nothing turns do not matter. */
    blocked_tid = 0;
    have(PAGE, COH_PEER_M);
    come(COH_EV_FWD_GETM, PAGE);
    fake.now_ns += WINDOW_NS;
    g_assert_false(deliver_part.run(&deliver));
    deliver_part.free(&deliver);
}

static void test_fails(void)
{
    setup(false);
    have(PAGE, COH_PEER_M);
    come(COH_EV_FWD_GETM, PAGE);
    deliver_part.fail(&deliver);
    g_assert_false(deliver_has_delayed(&deliver));
    fake.now_ns += WINDOW_NS;
    g_assert_false(deliver_part.run(&deliver));
    fake_did("");
    deliver_part.free(&deliver);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deliver/waits", test_waits);
    g_test_add_func("/deliver/passes", test_passes);
    g_test_add_func("/deliver/order", test_order);
    g_test_add_func("/deliver/pinned", test_pinned);
    g_test_add_func("/deliver/pin-bounds", test_pin_bounds);
    g_test_add_func("/deliver/idle", test_idle);
    g_test_add_func("/deliver/upgrading", test_upgrading);
    g_test_add_func("/deliver/turns", test_turns);
    g_test_add_func("/deliver/fails", test_fails);
    g_test_add_func("/deliver/bytes", test_bytes);
    return g_test_run();
}
