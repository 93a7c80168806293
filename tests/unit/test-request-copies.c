/*
 * Copies of threads: how many are under way, and those that no node answers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "request-fake.h"

/* More copies than may be under way at once. */
typedef struct Copies {
    Request r[REQUEST_COPIES_MAX + 10];
    CohPeer peers[REQUEST_COPIES_MAX + 10];
    char bytes[8];
} Copies;

static Copies copies;

/* Those that wait for others have the first pages. */
static CohPage page_of(unsigned nth)
{
    return (nth + 10) % G_N_ELEMENTS(copies.r);
}

static uint8_t *state_of(unsigned nth)
{
    return &copies.peers[page_of(nth)].state;
}

/* As many as may be under way, and @more, 10 at most. */
static void ask_copies(CohOpCode code, unsigned more)
{
    setup();
    copies = (Copies) { .bytes = "abc" };
    fake.node.peer = copies.peers;
    for (unsigned i = 0; i < REQUEST_COPIES_MAX + more; i++) {
        ask_bytes(&copies.r[i], page_of(i), code, copies.bytes);
    }
    g_assert_cmpint(requests.copies, ==, REQUEST_COPIES_MAX);
    g_string_truncate(fake.did, 0);
}

/* The @nth copy is done by its page's owner. */
static void copy_ends(unsigned nth)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, page_of(nth));

    ev.have = copies.r[nth].id;
    ev.op = copies.r[nth].op;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, copies.bytes));
}

/* The limit of copies under way keeps an owner's lane from filling with bytes. */
static void test_starved(gconstpointer code)
{
    const unsigned max = REQUEST_COPIES_MAX;
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, page_of(6));

    ask_copies(GPOINTER_TO_UINT(code), 2);
    g_assert_cmpint(copies.r[max].id, ==, 0);
    copy_ends(5);
    requests_run_moved(&requests);
    g_assert_cmpint(copies.r[max].id, ==, max + 1);
    g_assert_cmpint(copies.r[max + 1].id, ==, 0);
    /* A refused one is under way no more: its page comes here. */
    ev.have = copies.r[6].id;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    requests_run_moved(&requests);
    g_assert_cmpint(copies.r[max + 1].id, ==, max + 2);
    g_assert_cmpint(requests.copies, ==, max);
    requests_part.fail(&requests);
    g_assert_cmpint(requests.copies, ==, 0);
    for (unsigned i = 0; i < max + 2; i++) {
        g_assert_cmpint(copies.r[i].result, ==, i == 5 ? 0 : -EIO);
    }
    requests_part.free(&requests);
}

/* A slot that was free is taken before the page that waits for it is tried. */
static void test_starved_again(void)
{
    const unsigned max = REQUEST_COPIES_MAX;

    ask_copies(COH_OP_PUT_BYTES, 2);
    copy_ends(0);
    ask_bytes(&copies.r[max + 2], page_of(max + 2), COH_OP_PUT_BYTES,
              copies.bytes);
    g_assert_cmpint(copies.r[max + 2].id, ==, max + 1);
    copy_ends(1);
    requests_run_moved(&requests);
    copy_ends(2);
    requests_run_moved(&requests);
    g_assert_cmpint(copies.r[max].id, ==, max + 2);
    g_assert_cmpint(copies.r[max + 1].id, ==, max + 3);
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* A page that has come for its put may go again: the put waits for no other. */
static void test_starved_here(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, page_of(6));

    ask_copies(COH_OP_PUT_BYTES, 1);
    ev.have = copies.r[6].id;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    requests_run_moved(&requests);
    g_assert_cmpint(requests.copies, ==, REQUEST_COPIES_MAX);
    g_string_truncate(fake.did, 0);
    *state_of(6) = COH_PEER_M;
    requests_hooks.moved(&requests, page_of(6));
    requests_run_moved(&requests);
    g_assert_cmpint(copies.r[6].id, ==, REQUEST_COPIES_MAX + 2);
    g_assert_cmpint(requests.copies, ==, REQUEST_COPIES_MAX);
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* It waits for others no more, as its page has come: the next one is asked. */
static void test_starved_moved(void)
{
    const unsigned max = REQUEST_COPIES_MAX;

    ask_copies(COH_OP_PUT_BYTES, 3);
    *state_of(max) = *state_of(max + 1) = COH_PEER_M;
    /* Of a misaligned LOCK: such a copy waits, but for no other one. */
    fake.ctx.pinned = true;
    fake.ctx.locked[0] = page_of(max);
    fake.ctx.locked[1] = page_of(max + 1);
    copy_ends(0);
    requests_run_moved(&requests);
    g_assert_cmpint(copies.r[max + 2].id, ==, max + 1);
    g_assert_cmpint(requests.copies, ==, max);
    fake.ctx.pinned = false;
    requests_unpinned(&requests);
    g_assert_cmpint(copies.r[max].id, >, 0);
    g_assert_cmpint(copies.r[max + 1].id, >, 0);
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* All others end while one needs no slot: it must not keep the next from it. */
static void test_starved_all(void)
{
    const unsigned max = REQUEST_COPIES_MAX;

    ask_copies(COH_OP_GET_BYTES, 10);
    for (unsigned i = max; i < max + 9; i++) {
        *state_of(i) = COH_PEER_S;
    }
    copy_ends(0);
    requests_run_moved(&requests);
    for (unsigned i = max; i < max + 9; i++) {
        g_assert_cmpint(copies.r[i].result, ==, 0);
    }
    g_assert_cmpint(copies.r[max + 9].id, ==, max + 1);
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

#define LIMIT_NS (100 * SCALE_MS)

/* Twice, as the second look may be the first since this process was stopped. */
static void look(void)
{
    requests_look(&requests, LIMIT_NS);
    requests_look(&requests, LIMIT_NS);
}

/* No node answers: the page comes.  A late answer is no crime, but a second. */
static void test_overdue(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    char got[8] = "1234567";
    Request r, next;

    setup();
    ask_bytes(&r, PAGE, COH_OP_GET_BYTES, got);
    fake_did("OPERATE 3; id 1");
    fake.now_ns += 2 * LIMIT_NS;
    look();
    fake_did("");
    fake.now_ns++;
    requests_look(&requests, LIMIT_NS);
    fake_did("");
    requests_look(&requests, LIMIT_NS);
    fake_did("warns; fetch 3 to read for 7, alone");
    look();
    fake_did("");
    memcpy(fake.ram[PAGE] + 8, "late", 4);
    move(COH_PEER_S);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    g_assert_cmpstr(got, ==, "late567");
    /* Its home would call a second one a crime. */
    fake_state(PAGE, COH_PEER_I);
    ask_bytes(&next, PAGE, COH_OP_GET_BYTES, got);
    fake_did("fetch 3 to read for 7, alone");
    ev.op = r.op;
    ev.have = 1;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, "wxyz"));
    g_assert_cmpstr(got, ==, "late567");
    g_assert_false(requests_hooks.answered(&requests, &ev, 0, "wxyz"));
    requests_part.fail(&requests);
    ask_bytes(&next, PAGE, COH_OP_GET_BYTES, got);
    fake_did("OPERATE 3; id 2");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* The answer comes while the page does. */
static void test_overdue_answered(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    char bytes[] = "abc";
    Request r;

    setup();
    ask_bytes(&r, PAGE, COH_OP_PUT_BYTES, bytes);
    g_assert_cmpint(requests.copies, ==, 1);
    fake.now_ns += 2 * LIMIT_NS + 1;
    look();
    fake_did("OPERATE 3; id 1; bytes 'abc'; warns; "
             "fetch 3 to write for 7, alone");
    g_assert_cmpint(requests.copies, ==, 0);
    ev.op = r.op;
    ev.have = 1;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, NULL));
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    g_assert_false(requests_hooks.answered(&requests, &ev, 0, NULL));
    /* Without an answer it is done here, perhaps once more. */
    fake_state(PAGE, COH_PEER_I);
    ask_bytes(&r, PAGE, COH_OP_PUT_BYTES, bytes);
    fake.now_ns += 2 * LIMIT_NS + 1;
    look();
    g_string_truncate(fake.did, 0);
    move(COH_PEER_M);
    fake_did("OPERATE 3; id 3; bytes 'abc'");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* A word must not be added to twice; if its home refused, it was not. */
static void test_overdue_word(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    Request r;

    setup();
    ask(&r, REQUEST_OPERATE, true);
    fake.now_ns += 2 * LIMIT_NS + 1;
    look();
    fake_did("OPERATE 3; id 1; warns; fetch 3 to write for 7");
    move(COH_PEER_M);
    fake_did("");
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, -ETIMEDOUT);
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    g_assert_false(requests_hooks.refused(&requests, &ev));
    fake_state(PAGE, COH_PEER_I);
    ask(&r, REQUEST_OPERATE, true);
    fake.now_ns += 2 * LIMIT_NS + 1;
    look();
    ev.have = 2;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    g_string_truncate(fake.did, 0);
    move(COH_PEER_M);
    fake_did("OPERATE 3; id 3");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* ------------------------------------------------------------ whole pages */

static char whole[COH_PAGE_SIZE] = "abc";

/* The page comes without its bytes, and has others then: it may go at once. */
static void test_fill(void)
{
    Request r, next;

    setup();
    ask_whole(&r, whole, true);
    fake_did("fill 3 with 'abc'");
    ask_bytes(&next, PAGE, COH_OP_GET_BYTES, copies.bytes);
    move(COH_PEER_XM_I);
    g_assert_false(is_done(&r));
    move(COH_PEER_M);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    g_assert_true(r.filled);
    fake_did("OPERATE 3; id 1");
    requests_part.fail(&requests);
    fake_state(PAGE, COH_PEER_I);
    ask_whole(&r, whole, true);
    move(COH_PEER_I);
    g_assert_true(is_done(&r));
    fake_did("fill 3 with 'abc'");
    /* A node is lost. */
    ask_whole(&r, whole, true);
    requests_part.fail(&requests);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, -EIO);
    requests_part.free(&requests);
}

/* A copy is here, or on its way: it becomes this node's. */
static void test_fill_shared(void)
{
    Request r;

    setup();
    fake_state(PAGE, COH_PEER_IS_D);
    ask_whole(&r, whole, true);
    fake_did("");
    move(COH_PEER_S);
    fake_did("fetch 3 to write for 7, alone");
    move(COH_PEER_M);
    fake_did("OPERATE 3; id 1; bytes 'abc'");
    g_assert_true(r.came);
    g_assert_false(r.filled);
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* Below a cap no page comes that needs not come. */
static void test_fill_no_room(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    Request r;

    setup();
    has_room = false;
    ask_whole(&r, whole, true);
    fake_did("OPERATE 3; id 1; bytes 'abc'");
    g_assert_false(r.came);
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    move(COH_PEER_I);
    fake_did("fetch 3 to write for 7, alone");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* No node owns the page, and so it has to come. */
static void test_fill_refused(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    Request r;

    setup();
    ask_whole(&r, whole, false);
    fake_did("OPERATE 3; id 1; bytes 'abc'");
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    requests_hooks.moved(&requests, PAGE);
    requests_run_moved(&requests);
    fake_did("fill 3 with 'abc'");
    move(COH_PEER_M);
    g_assert_true(is_done(&r));
    g_assert_true(r.came && r.filled);
    g_assert_cmpint(requests.copies, ==, 0);
    requests_part.free(&requests);
}

/*
 * The owner has put the bytes after all, and they come once more: the guest may
 * use the page when the call has returned, so that is not before.
 */
static void test_fill_answered(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 0, PAGE);
    Request r;

    setup();
    ask_whole(&r, whole, false);
    fake.now_ns += 2 * LIMIT_NS + 1;
    look();
    fake_did("OPERATE 3; id 1; bytes 'abc'; warns; fill 3 with 'abc'");
    ev.have = 1;
    ev.op = r.op;
    g_assert_true(requests_hooks.answered(&requests, &ev, 0, NULL));
    g_assert_false(is_done(&r));
    move(COH_PEER_M);
    g_assert_true(is_done(&r));
    g_assert_cmpint(r.result, ==, 0);
    requests_part.free(&requests);
}

static uint32_t later_epoch(void *opaque)
{
    return 1;
}

/* Pages are as the guest has had them since its reset: their owner looks. */
static void test_fill_too_old(void)
{
    CohEvent ev = fake_event(COH_EV_REFUSE, 0, PAGE);
    Request r;

    setup();
    fake.host.epoch = later_epoch;
    ask_whole(&r, whole, true);
    fake_did("OPERATE 3; id 1; bytes 'abc'");
    ev.have = 1;
    g_assert_true(requests_hooks.refused(&requests, &ev));
    move(COH_PEER_I);
    fake_did("fetch 3 to write for 7, alone");
    requests_part.fail(&requests);
    requests_part.free(&requests);
}

/* A reset waits for the pages that were being filled before it. */
static void test_fill_settles(void)
{
    RequestGroup group;
    Request r;

    setup();
    ask_whole(&r, whole, true);
    fake.host.epoch = later_epoch;
    request_group_init(&group, 1);
    requests_settle(&requests, &group);
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, -1);
    move(COH_PEER_M);
    g_assert_true(is_done(&r));
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, 0);
    /* One of after it is not waited for. */
    requests.filling[1]++;
    request_group_init(&group, 1);
    requests_settle(&requests, &group);
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, 0);
    /* No node answers any more. */
    requests.filling[0]++;
    request_group_init(&group, 1);
    requests_settle(&requests, &group);
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, -1);
    requests_part.fail(&requests);
    g_assert_cmpint(qemu_sem_timedwait(&group.done, 0), ==, 0);
    requests_part.free(&requests);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/request/starved/puts",
                         GUINT_TO_POINTER(COH_OP_PUT_BYTES), test_starved);
    g_test_add_data_func("/request/starved/gets",
                         GUINT_TO_POINTER(COH_OP_GET_BYTES), test_starved);
    g_test_add_func("/request/starved-again", test_starved_again);
    g_test_add_func("/request/starved-here", test_starved_here);
    g_test_add_func("/request/starved-moved", test_starved_moved);
    g_test_add_func("/request/starved-all", test_starved_all);
    g_test_add_func("/request/overdue", test_overdue);
    g_test_add_func("/request/overdue-answered", test_overdue_answered);
    g_test_add_func("/request/overdue-word", test_overdue_word);
    g_test_add_func("/request/fill", test_fill);
    g_test_add_func("/request/fill-shared", test_fill_shared);
    g_test_add_func("/request/fill-no-room", test_fill_no_room);
    g_test_add_func("/request/fill-refused", test_fill_refused);
    g_test_add_func("/request/fill-answered", test_fill_answered);
    g_test_add_func("/request/fill-too-old", test_fill_too_old);
    g_test_add_func("/request/fill-settles", test_fill_settles);
    return g_test_run();
}
