/*
 * Requests of threads, page by page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/engine/request.h"
#include "lane-fake.h"

#define PAGE FAKE_FAR

static Requests requests;
static Deliver deliver;
static Executor executor;
static Faults faults;
/* Outcome of the next event for a page. */
static uint8_t next_state;
static bool changes_state;

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &executor);
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
    if (ev->type == COH_EV_OPERATE) {
        fake_do("id %d", (int)ev->have);
    }
    if (changes_state) {
        fake_state(ev->page, next_state);
    }
    requests_hooks.moved(&requests, ev->page);
}

void deliver_event(Deliver *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &deliver);
    executor_event(&executor, ev, data);
}

void faults_take(Faults *to, const MemFault *fault)
{
    g_assert_true(to == &faults);
    fake_do("fetch %d to %s for %u", (int)fault->page,
            fault->write ? "write" : "read", fault->tid);
    fake_state(fault->page, fault->write ? COH_PEER_IM_AD : COH_PEER_IS_D);
}

static void setup(void)
{
    fake_init();
    changes_state = false;
    requests = (Requests) {
        .deliver = &deliver, .executor = &executor, .faults = &faults,
    };
    requests_part.init(&requests, &fake.ctx);
}

static void ask(Request *r, RequestKind kind, bool write)
{
    *r = (Request) {
        .kind = kind, .page = PAGE, .write = write, .tid = 7, .result = 1,
    };
    r->op = (CohOp) {
        .code = write ? COH_OP_ADD : COH_OP_READ, .size = 4, .operand = 5,
    };
    qemu_sem_init(&r->done, 0);
    requests_add(&requests, r);
}

static bool is_done(Request *r)
{
    return !qemu_sem_timedwait(&r->done, 0);
}

/* The page is in @state now, by a frame. */
static void move(uint8_t state)
{
    fake_state(PAGE, state);
    requests_hooks.moved(&requests, PAGE);
    requests_run_moved(&requests);
}

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
        g_assert_true(requests_hooks.answered(&requests, &ev, 99));
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
    g_assert_false(requests_hooks.answered(&requests, &ev, 5));
    g_assert_false(requests_hooks.refused(&requests, &ev));
    ev.have = 1;
    ev.page = 4;
    g_assert_false(requests_hooks.answered(&requests, &ev, 5));
    ev.page = PAGE;
    g_assert_true(requests_hooks.answered(&requests, &ev, 5));
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.value, ==, 5);
    g_assert_false(requests_hooks.answered(&requests, &ev, 5));
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
    ev.have = 2;
    g_assert_true(requests_hooks.answered(&requests, &ev, 8));
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
    ask(&r, REQUEST_OPERATE, true);
    move(COH_PEER_M);
    fake_did("");
    fake.ctx.pinned = false;
    requests_unpinned(&requests);
    fake_did("OPERATE 3; id 1");
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
    return g_test_run();
}
