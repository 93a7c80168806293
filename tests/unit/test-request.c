/*
 * Requests of threads, page by page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "request-fake.h"

static void test_valid(void)
{
    Request r;

    setup();
    ask(&r, REQUEST_VALID, false);
    fake_did("fetch 3 to read for 7");
    g_assert_false(is_done(&r));
    move(COH_PEER_S);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    ask(&r, REQUEST_VALID, false);
    g_assert_true(is_done(&r));
    ask(&r, REQUEST_VALID, true);
    fake_did("fetch 3 to write for 7");
    g_assert_false(is_done(&r));
    /* It was taken again before it could be used. */
    move(COH_PEER_I);
    fake_did("fetch 3 to write for 7");
    move(COH_PEER_M);
    g_assert_true(is_done(&r));
    g_assert_cmpint(g_hash_table_size(requests.queues), ==, 0);
    requests_part.free(&requests);
}

/* In order; each when the one before it is served. */
static void test_order(void)
{
    Request first, second, third;

    setup();
    ask(&first, REQUEST_VALID, true);
    ask(&second, REQUEST_OPERATE, true);
    ask(&third, REQUEST_VALID, true);
    fake_did("fetch 3 to write for 7");
    move(COH_PEER_M);
    fake_did("OPERATE 3; id 1");
    g_assert_true(is_done(&first));
    g_assert_false(is_done(&second));
    g_assert_false(is_done(&third));
    {
        CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);

        ev.have = 1;
        g_assert_true(requests_hooks.answered(&requests, &ev, 99, NULL));
    }
    g_assert_true(is_done(&second));
    g_assert_cmpint(second.value, ==, 99);
    g_assert_false(is_done(&third));
    move(COH_PEER_M);
    g_assert_true(is_done(&third));
    requests_part.free(&requests);
}

static void test_operation_elsewhere(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    Request r;

    setup();
    ask(&r, REQUEST_OPERATE, true);
    fake_did("OPERATE 3; id 1");
    /* The page comes and goes meanwhile: the operation is under way. */
    move(COH_PEER_S);
    move(COH_PEER_I);
    fake_did("");
    ev.have = 2;
    g_assert_false(requests_hooks.answered(&requests, &ev, 5, NULL));
    g_assert_false(requests_hooks.refused(&requests, &ev));
    ev.have = 1;
    ev.page = 4;
    g_assert_false(requests_hooks.answered(&requests, &ev, 5, NULL));
    ev.page = PAGE;
    g_assert_true(requests_hooks.answered(&requests, &ev, 5, NULL));
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.value, ==, 5);
    g_assert_false(requests_hooks.answered(&requests, &ev, 5, NULL));
    requests_part.free(&requests);
}

/* No node owns it: it comes here, and the operation is done at once. */
static void test_operation_refused(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    Request r;

    setup();
    ask(&r, REQUEST_OPERATE, true);
    fake_did("OPERATE 3; id 1");
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    move(COH_PEER_I);
    fake_did("fetch 3 to write for 7");
    move(COH_PEER_M);
    fake_did("OPERATE 3; id 2");
    g_assert_false(is_done(&r));
    g_assert_true(r.came);
    ev.have = 2;
    g_assert_true(requests_hooks.answered(&requests, &ev, 8, NULL));
    g_assert_true(is_done(&r));
    requests_part.free(&requests);
}

/* A word that is only read, of a copy that is here. */
static void test_operation_here(void)
{
    Request r;

    setup();
    fake_state(PAGE, COH_PEER_S);
    fake.ram[PAGE][0] = 42;
    ask(&r, REQUEST_OPERATE, false);
    fake_did("");
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.value, ==, 42);
    ask(&r, REQUEST_OPERATE, true);
    fake_did("OPERATE 3; id 1");
    requests_part.fail(&requests);
    g_assert_true(is_done(&r));
    requests_part.free(&requests);
}

/* It moved when it was asked for: no other event may follow. */
static void test_moves_at_once(void)
{
    Request r;

    setup();
    changes_state = true;
    next_state = COH_PEER_I;
    fake_state(PAGE, COH_PEER_S);
    ask(&r, REQUEST_GIVE_UP, false);
    fake_did("EVICT 3");
    g_assert_true(is_done(&r));
    g_assert_cmpint(requests.moved->len, ==, 0);
    requests_part.free(&requests);
}

/* A misaligned LOCK is between its load and its store. */
static void test_pinned(void)
{
    Request r;

    setup();
    fake_state(PAGE, COH_PEER_M);
    fake.ctx.pinned = true;
    fake.ctx.locked[1] = PAGE;
    ask(&r, REQUEST_OPERATE, true);
    move(COH_PEER_M);
    fake_did("");
    fake.ctx.pinned = false;
    requests_unpinned(&requests);
    fake_did("OPERATE 3; id 1");
    requests_part.fail(&requests);
    /* Other pages stay where they are, and are no part of the LOCK. */
    fake.ctx.pinned = true;
    fake.ctx.locked[1] = PAGE + 1;
    ask(&r, REQUEST_OPERATE, true);
    fake_did("OPERATE 3; id 2");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

static void test_give_up(void)
{
    Request r;
    int64_t begin;

    setup();
    begin = fake.now_ns;
    fake_state(PAGE, COH_PEER_S);
    ask(&r, REQUEST_GIVE_UP, false);
    fake_did("EVICT 3");
    g_assert_cmpint(requests_part.due_ns(&requests), ==,
                    fake.now_ns + 500 * SCALE_US);
    g_assert_false(requests_part.run(&requests));
    /* The hint was not taken: once more. */
    fake.now_ns += 500 * SCALE_US;
    g_assert_true(requests_part.run(&requests));
    fake_did("EVICT 3");
    move(COH_PEER_I);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    fake.now_ns += 500 * SCALE_US;
    requests_part.run(&requests);
    g_assert_cmpint(requests_part.due_ns(&requests), ==, INT64_MAX);
    /* The home wants it to stay. */
    fake_state(PAGE, COH_PEER_M);
    ask(&r, REQUEST_GIVE_UP, false);
    begin = fake.now_ns;
    fake_did("EVICT 3");
    fake.now_ns = begin + 500 * SCALE_MS;
    requests_part.run(&requests);
    fake_did("EVICT 3");
    g_assert_false(is_done(&r));
    fake.now_ns += 500 * SCALE_US;
    requests_part.run(&requests);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, -EBUSY);
    requests_part.free(&requests);
}

/* After each event, before the next: the page could be taken away by that. */
static void test_events(void)
{
    CohEvent grant = fake_event(COH_EV_GRANT, FAKE_SELF, PAGE);
    CohEvent inv = fake_event(COH_EV_INV, FAKE_SELF, 9);
    Request r;

    setup();
    g_assert_false(requests_run_events(&requests));
    ask(&r, REQUEST_VALID, true);
    fake_did("fetch 3 to write for 7");
    lane_submit(&fake.ctx, &grant);
    lane_submit(&fake.ctx, &inv);
    changes_state = true;
    next_state = COH_PEER_M;
    g_assert_true(requests_events_pass.run(&requests));
    fake_did("GRANT 3; INV 9");
    g_assert_true(is_done(&r));
    setup();
    ask(&r, REQUEST_OPERATE, true);
    r.here = true;
    fake_state(PAGE, COH_PEER_IM_AD);
    lane_submit(&fake.ctx, &grant);
    lane_submit(&fake.ctx, &inv);
    g_string_truncate(fake.did, 0);
    changes_state = true;
    requests_run_events(&requests);
    fake_did("GRANT 3; OPERATE 3; id 2; INV 9");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

static void test_fails(void)
{
    Request first, second;

    setup();
    ask(&first, REQUEST_VALID, true);
    ask(&second, REQUEST_VALID, false);
    fake.ctx.phase = LANE_FAILED;
    requests_part.fail(&requests);
    g_assert_true(is_done(&first));
    g_assert_true(is_done(&second));
    g_assert_cmpint(first.result, ==, -EIO);
    g_assert_cmpint(second.result, ==, -EIO);
    ask(&first, REQUEST_VALID, true);
    g_assert_true(is_done(&first));
    g_assert_cmpint(first.result, ==, -EIO);
    requests_part.free(&requests);
}

static void test_bytes(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    char bytes[] = "abc", got[8] = "1234567";
    Request r;

    setup();
    ask_bytes(&r, PAGE, COH_OP_PUT_BYTES, bytes);
    fake_did("OPERATE 3; id 1; bytes 'abc'");
    g_assert_cmpint(requests.copies, ==, 1);
    ev.have = 1;
    ev.op = r.op;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, NULL));
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    g_assert_cmpint(requests.copies, ==, 0);
    /* The guest was reset meanwhile. */
    ask_bytes(&r, PAGE, COH_OP_PUT_BYTES, bytes);
    ev.have = 2;
    g_assert_true(requests_hooks.answered(&requests, &ev, COH_OP_TOO_OLD,
                                          NULL));
    g_assert_cmpint(r.result, ==, -ECANCELED);
    ask_bytes(&r, PAGE, COH_OP_GET_BYTES, got);
    g_string_truncate(fake.did, 0);
    ev.have = 3;
    ev.op = r.op;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, "wxyz!"));
    g_assert_cmpstr(got, ==, "wxyz567");
    /* Of a copy that is here. */
    fake_state(PAGE, COH_PEER_S);
    memcpy(fake.ram[PAGE] + 8, "here", 4);
    ask_bytes(&r, PAGE, COH_OP_GET_BYTES, got);
    fake_did("");
    g_assert_true(is_done(&r));
    g_assert_cmpstr(got, ==, "here567");
    requests_part.free(&requests);
}

/* No node owns the page: it comes, and no page besides. */
static void test_bytes_refused(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    char got[8] = "1234567";
    Request r;

    setup();
    ask_bytes(&r, PAGE, COH_OP_GET_BYTES, got);
    fake_did("OPERATE 3; id 1");
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    move(COH_PEER_I);
    fake_did("fetch 3 to read for 7, alone");
    memcpy(fake.ram[PAGE] + 8, "come", 4);
    move(COH_PEER_S);
    g_assert_true(is_done(&r));
    g_assert_cmpstr(got, ==, "come567");
    requests_part.free(&requests);
}

/* More or other bytes than were asked for would go over the buffer's end. */
static void test_bytes_forged(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    char got[8] = "1234567";
    Request r;

    setup();
    ask_bytes(&r, PAGE, COH_OP_GET_BYTES, got);
    ev.have = 1;
    ev.op = r.op;
    ev.op.length = 5;
    g_assert_false(requests_hooks.answered(&requests, &ev, 0, "wxyz!"));
    ev.op = (CohOp) { .code = COH_OP_READ, .size = 4 };
    g_assert_false(requests_hooks.answered(&requests, &ev, 0, NULL));
    g_assert_cmpstr(got, ==, "1234567");
    requests_part.fail(&requests);
    g_assert_cmpint(r.result, ==, -EIO);
    requests_part.free(&requests);
}

static void test_group(void)
{
    RequestGroup group;
    bool hung = false;

    request_group_init(&group, 3);
    request_group_done(&group);
    request_group_done(&group);
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, -1);
    request_group_done(&group);
    g_assert_true(request_group_wait(&group, &hung));
}

/* A lane hangs after a loss: the thread goes on, the request stays. */
static void test_group_hung(void)
{
    RequestGroup group;
    bool hung = true;

    request_group_init(&group, 2);
    request_group_done(&group);
    g_assert_false(request_group_wait(&group, &hung));
    /* The lane goes on after all. */
    request_group_done(&group);
    g_assert_true(request_group_wait(&group, &hung));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/request/valid", test_valid);
    g_test_add_func("/request/order", test_order);
    g_test_add_func("/request/operation-elsewhere", test_operation_elsewhere);
    g_test_add_func("/request/operation-refused", test_operation_refused);
    g_test_add_func("/request/operation-here", test_operation_here);
    g_test_add_func("/request/moves-at-once", test_moves_at_once);
    g_test_add_func("/request/pinned", test_pinned);
    g_test_add_func("/request/give-up", test_give_up);
    g_test_add_func("/request/events", test_events);
    g_test_add_func("/request/fails", test_fails);
    g_test_add_func("/request/bytes", test_bytes);
    g_test_add_func("/request/bytes-refused", test_bytes_refused);
    g_test_add_func("/request/bytes-forged", test_bytes_forged);
    g_test_add_func("/request/group", test_group);
    g_test_add_func("/request/group-hung", test_group_hung);
    return g_test_run();
}
