/*
 * Pages that are fetched before a thread wants them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/prefetch.h"
#include "lane-fake.h"

static Prefetch prefetch;
static Evict evict;
static Executor executor;
static Outbox outbox;
static Pagewalk pagewalk;
static Prejoin prejoin;
static Waiters waiters;
static Wakeup wakeup;
static CohPage lent, no_room;

/* The page is on its way, then. */
void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &executor);
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
    fake_state(ev->page, ev->type == COH_EV_LOAD ? COH_PEER_IS_D
                                                 : COH_PEER_IM_AD);
}

bool evict_has_cap(const Evict *of)
{
    g_assert_true(of == &evict);
    return fake.config.cap_pages;
}

bool evict_has_room(const Evict *of, CohPage page)
{
    return page != no_room;
}

void outbox_begin_batch(Outbox *to)
{
    fake_do("[");
}

void outbox_end_batch(Outbox *to)
{
    fake_do("]");
}

bool prejoin_has(const Prejoin *of, CohPage page)
{
    return page == lent;
}

void waiters_add(Waiters *to, const MemFault *fault, uint8_t state,
                 bool prefetched)
{
    fake_do("%u may %s %d", fault->tid, fault->write ? "write" : "read",
            (int)fault->page);
    g_assert_true(prefetched);
}

void wakeup_expect(Wakeup *to, CohPage page)
{
    g_assert_true(to == &wakeup);
    fake_do("expect %d", (int)page);
}

static void setup(unsigned readahead)
{
    companions_free(&prefetch.companions);
    fake_init();
    fake.config.readahead = readahead;
    memset(&pagewalk, 0, sizeof(pagewalk));
    lent = no_room = UINT64_MAX;
    prefetch = (Prefetch) {
        .evict = &evict, .executor = &executor, .outbox = &outbox,
        .pagewalk = &pagewalk, .prejoin = &prejoin, .waiters = &waiters,
        .wakeup = &wakeup,
    };
    prefetch_part.init(&prefetch, &fake.ctx);
}

static void absent(CohPage page, uint32_t tid)
{
    MemFault fault = { .page = page, .tid = tid };

    fake_state(page, COH_PEER_IS_D);
    prefetch_absent(&prefetch, &fault);
}

static void pending(CohPage page, uint32_t tid)
{
    MemFault fault = { .page = page, .tid = tid };

    prefetch_pending(&prefetch, &fault);
}

/* Each time twice as many and one, up to the limit. */
static void test_stream_grows(void)
{
    setup(4);
    absent(0, 7);
    fake_did("[; ]");
    absent(1, 7);
    fake_did("[; expect 2; LOAD 2; ]");
    absent(3, 7);
    fake_did("[; expect 4; LOAD 4; expect 5; LOAD 5; expect 6; LOAD 6; ]");
    absent(7, 7);
    fake_did("[; expect 8; LOAD 8; expect 9; LOAD 9; expect 10; LOAD 10; "
             "expect 11; LOAD 11; ]");
    g_assert_cmpint(fake.ctx.stats.readahead_pages, ==, 8);
    /* Elsewhere: no stream, and a new one after that. */
    absent(40, 7);
    fake_did("[; ]");
    absent(41, 7);
    fake_did("[; expect 42; LOAD 42; ]");
}

/* More, before those are used up: in the second half. */
static void test_stream_goes_on(void)
{
    setup(64);
    absent(0, 7);
    absent(1, 7);
    absent(3, 7);
    absent(7, 7);
    g_assert_cmpint(fake.ctx.stats.readahead_pages, ==, 1 + 3 + 7);
    g_string_truncate(fake.did, 0);
    pending(11, 7);
    fake_did("");
    pending(12, 7);
    g_assert_cmpint(fake.ctx.stats.readahead_pages, ==, 1 + 3 + 7 + 15);
    g_assert_true(g_str_has_prefix(fake.did->str, "[; expect 15; LOAD 15;"));
    g_string_truncate(fake.did, 0);
    /* Another thread on those pages: not its stream. */
    pending(28, 7 + PREFETCH_STREAMS);
    pending(20, 8);
    fake_did("");
}

/* As the thread touches its page, whatever that one is fetched for. */
static void test_stream_type(void)
{
    MemFault fault = { .page = 1, .write = true, .tid = 7 };

    setup(64);
    absent(0, 7);
    g_string_truncate(fake.did, 0);
    prefetch_absent(&prefetch, &fault);
    fake_did("[; expect 2; STORE 2; ]");
    fault.page = 3;
    fault.write = false;
    prefetch_absent(&prefetch, &fault);
    fake_did("[; expect 4; LOAD 4; expect 5; LOAD 5; expect 6; LOAD 6; ]");
}

/* Threads do not disturb each other. */
static void test_two_streams(void)
{
    setup(64);
    absent(0, 7);
    absent(100, 8);
    g_string_truncate(fake.did, 0);
    absent(1, 7);
    fake_did("[; expect 2; LOAD 2; ]");
    absent(101, 8);
    fake_did("[; expect 102; LOAD 102; ]");
    /* But two of one slot do. */
    absent(30, 7 + PREFETCH_STREAMS);
    g_string_truncate(fake.did, 0);
    absent(3, 7);
    fake_did("[; ]");
}

static void test_not_these(void)
{
    setup(64);
    absent(0, 7);
    absent(1, 7);
    g_string_truncate(fake.did, 0);
    fake_state(4, COH_PEER_S);
    lent = 5;
    absent(3, 7);
    fake_did("[; expect 6; LOAD 6; ]");
    /* The end of memory. */
    absent(FAKE_PAGES - 3, 9);
    absent(FAKE_PAGES - 2, 9);
    g_string_truncate(fake.did, 0);
    prefetch.stream[9].pages = 10;
    prefetch.stream[9].next = FAKE_PAGES - 1;
    absent(FAKE_PAGES - 1, 9);
    fake_did("[; ]");
}

static void test_no_stream(void)
{
    setup(0);
    absent(0, 7);
    absent(1, 7);
    setup(64);
    fake.ctx.pinned = true;
    absent(0, 7);
    absent(1, 7);
    setup(64);
    fake.ctx.phase = LANE_ALONE;
    absent(0, 7);
    absent(1, 7);
    pending(1, 7);
    fake_did("");
    /* Below a cap a page that nobody asked for would push out another. */
    setup(64);
    fake.config.cap_pages = 100;
    absent(0, 7);
    absent(1, 7);
    fake_did("[; ]; [; ]");
}

/* Bursts of @pages, in their order, until they are trusted. */
static void learn(const CohPage *pages, unsigned n, uint64_t written)
{
    Companion found[COMPANIONS_MAX];

    for (unsigned i = 0; i < 3 * n; i++) {
        if (i % n == 0) {
            companions_take(&prefetch.companions, pages[0], found);
        }
        fake.now_ns += i % n ? 1000 : 2 * (int64_t)COMPANION_WINDOW_NS;
        companions_missed(&prefetch.companions, pages[i % n],
                          written >> (i % n) & 1, 7, fake.now_ns);
    }
}

static void miss(CohPage page, bool write, uint8_t state)
{
    MemFault fault = { .page = page, .write = write, .tid = 7 };

    prefetch_companions(&prefetch, &fault, state);
}

static void test_companions(void)
{
    static const CohPage pages[] = { FAKE_FAR, 10, FAKE_OWN, 12, 13 };

    setup(64);
    fake.config.companions = true;
    fake.ctx.phase = LANE_JOINED;
    learn(pages, 5, 1 << 1 | 1 << 3);
    /* A copy that is there is made writable, or needs nothing. */
    fake_state(12, COH_PEER_S);
    fake_state(13, COH_PEER_S);
    miss(FAKE_FAR, false, COH_PEER_I);
    fake_did("[; 7 may write 10; expect 10; STORE 10; "
             "7 may read 64; expect 64; LOAD 64; "
             "7 may write 12; STORE 12; ]");
    /* They are on their way. */
    miss(FAKE_FAR, false, COH_PEER_I);
    fake_did("[; ]");
    /* Asked for already; nothing new is missed. */
    miss(FAKE_FAR, false, COH_PEER_IS_D);
    fake_did("");
}

static void test_companions_off(void)
{
    static const CohPage pages[] = { FAKE_FAR, 10, FAKE_FAR };

    setup(64);
    learn(pages, 2, 0);
    miss(FAKE_FAR, false, COH_PEER_I);
    setup(64);
    fake.config.companions = true;
    fake.ctx.phase = LANE_ALONE;
    learn(pages, 2, 0);
    miss(FAKE_FAR, false, COH_PEER_I);
    fake.ctx.phase = LANE_JOINED;
    fake.ctx.pinned = true;
    miss(FAKE_FAR, false, COH_PEER_I);
    /* Not below a cap, where a copy that is there could be made writable. */
    setup(64);
    fake.config.companions = true;
    fake.config.cap_pages = 100;
    learn(pages, 2, 1 << 1);
    fake_state(10, COH_PEER_S);
    miss(FAKE_FAR, false, COH_PEER_I);
    fake_did("");
}

/* A page that is read, and then written, is fetched to be written. */
static void test_event_type(void)
{
    MemFault read = { .page = FAKE_FAR, .tid = 7 };

    setup(64);
    fake.config.companions = true;
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                        COH_EV_LOAD);
        fake.now_ns += 2 * (int64_t)COMPANION_WINDOW_NS;
        companions_missed(&prefetch.companions, FAKE_FAR, false, 7,
                          fake.now_ns);
        companions_missed(&prefetch.companions, FAKE_FAR, true, 7,
                          fake.now_ns);
    }
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                    COH_EV_STORE);
    /* A copy of a device model does what it says. */
    read.alone = true;
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                    COH_EV_LOAD);
    read.alone = false;
    /* It is there to be read: no fault to write it yet. */
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_S), ==,
                    COH_EV_LOAD);
    fake.config.cap_pages = 100;
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                    COH_EV_LOAD);
    fake.config.cap_pages = 0;
    fake.config.companions = false;
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                    COH_EV_LOAD);
    fake.ctx.pinned = true;
    g_assert_cmpint(prefetch_event_type(&prefetch, &read, COH_PEER_I), ==,
                    COH_EV_STORE);
}

static void walk(void)
{
    for (CohPage page = 4; page > 0; page--) {
        pagewalk_left(&pagewalk, page, true);
    }
}

/* The other tables, as if the thread had waited for them. */
static void test_walk(void)
{
    setup(0);
    walk();
    absent(2, 7);
    fake_did("");
    fake.config.walks_write = true;
    fake_state(4, COH_PEER_M);
    absent(2, 7);
    fake_did("[; 7 may write 1; STORE 1; 7 may write 3; STORE 3; ]");
    absent(9, 7);
    fake_did("");
}

/* The rest of the group, as far as no node has touched it. */
static void test_untouched(void)
{
    MemFault fault = { .page = FAKE_OWN + 17, .tid = 7 };

    setup(64);
    for (unsigned i = 0; i < FAKE_SLICE; i++) {
        fake.home[i].state = i < 30 && i != 20 ? COH_HOME_M : COH_HOME_U;
    }
    prefetch_untouched(&prefetch, &fault);
    fake_did("LOAD 84; LOAD 94; LOAD 95");
    setup(0);
    prefetch_untouched(&prefetch, &fault);
    fake_did("");
}

static void test_range(void)
{
    setup(0);
    fake_state(11, COH_PEER_S);
    fake_state(12, COH_PEER_M);
    fake_state(13, COH_PEER_IS_D);
    lent = 14;
    no_room = 15;
    prefetch_range(&prefetch, 10, 7, false, 7);
    fake_did("[; 7 may read 10; LOAD 10; 7 may read 16; LOAD 16; ]");
    setup(0);
    fake_state(11, COH_PEER_S);
    fake_state(12, COH_PEER_M);
    prefetch_range(&prefetch, 10, 3, true, 7);
    fake_did("[; 7 may write 10; STORE 10; 7 may write 11; STORE 11; ]");
}

/* Each lane its own pages. */
static void test_lanes(void)
{
    setup(0);
    fake.config.lanes = (Lanes) { .n = 2, .bits = 2 };
    prefetch_range(&prefetch, 2, 4, false, 7);
    fake_did("[; 7 may read 2; LOAD 2; 7 may read 3; LOAD 3; ]");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/prefetch/companions", test_companions);
    g_test_add_func("/prefetch/companions-off", test_companions_off);
    g_test_add_func("/prefetch/event-type", test_event_type);
    g_test_add_func("/prefetch/stream-grows", test_stream_grows);
    g_test_add_func("/prefetch/stream-goes-on", test_stream_goes_on);
    g_test_add_func("/prefetch/stream-type", test_stream_type);
    g_test_add_func("/prefetch/two-streams", test_two_streams);
    g_test_add_func("/prefetch/not-these", test_not_these);
    g_test_add_func("/prefetch/no-stream", test_no_stream);
    g_test_add_func("/prefetch/walk", test_walk);
    g_test_add_func("/prefetch/untouched", test_untouched);
    g_test_add_func("/prefetch/range", test_range);
    g_test_add_func("/prefetch/lanes", test_lanes);
    return g_test_run();
}
