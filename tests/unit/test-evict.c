/*
 * A node's share of memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/evict.h"
#include "lane-fake.h"

/* Its slice and some more; the ring begins to empty at 72. */
#define CAP 200
#define PAUSE_NS 500000
#define SLACK ENGINE_CAP_SLACK

static Evict evict;
static Executor executor;
static Hold hold;
static Waiters waiters;
static unsigned waiting;
static int64_t until_ns;
static uint8_t flags[FAKE_PAGES];

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &executor);
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
}

unsigned waiters_count(const Waiters *of)
{
    return waiting;
}

int64_t hold_until(const Hold *of, CohPage page)
{
    g_assert_true(of == &hold);
    return page == 5 ? until_ns : 0;
}

static void setup(uint64_t cap)
{
    fake_init();
    fake.config.cap_pages = cap;
    waiting = 0;
    until_ns = 0;
    memset(flags, 0, sizeof(flags));
    evict = (Evict) {
        .executor = &executor, .hold = &hold, .waiters = &waiters,
        .ring.flags = flags,
    };
    evict_part.init(&evict, &fake.ctx);
    g_assert_cmpint(evict.cap_pages, ==, cap);
}

static void have(CohPage page, uint8_t state)
{
    fake_state(page, state);
    fake.ctx.stats.pages_resident++;
    evict_hooks.installed(&evict, page);
}

static void test_room(void)
{
    setup(CAP);
    fake.ctx.stats.pages_resident = CAP - 2;
    waiting = 1;
    g_assert_true(evict_has_room(&evict, FAKE_FAR));
    g_assert_true(evict_is_below_cap(&evict));
    waiting = 2;
    g_assert_false(evict_has_room(&evict, FAKE_FAR));
    g_assert_false(evict_is_below_cap(&evict));
    /* Its own pages a little longer, and in a pin all. */
    g_assert_true(evict_has_room(&evict, FAKE_OWN));
    waiting = 2 + SLACK;
    g_assert_false(evict_has_room(&evict, FAKE_OWN));
    fake.ctx.pinned = true;
    g_assert_true(evict_has_room(&evict, FAKE_FAR));
    evict_part.free(&evict);
    /* No cap: any number. */
    setup(0);
    fake.ctx.stats.pages_resident = 1 << 30;
    g_assert_false(evict_has_cap(&evict));
    g_assert_true(evict_has_room(&evict, FAKE_FAR));
    g_assert_true(evict_is_below_cap(&evict));
    g_assert_cmpint(evict_excess_pages(&evict), ==, 0);
    have(5, COH_PEER_M);
    g_assert_false(evict_part.run(&evict));
    evict_part.free(&evict);
}

static void test_adopts(void)
{
    setup(CAP);
    fake.ctx.stats.pages_resident = CAP + SLACK - 1;
    g_assert_true(evict_hooks.adopt(&evict, FAKE_OWN));
    /* That one counts until it is there. */
    g_assert_false(evict_hooks.adopt(&evict, FAKE_OWN + 1));
    have(FAKE_OWN, COH_PEER_M);
    g_assert_cmpint(g_hash_table_size(evict.adopting), ==, 0);
    fake.ctx.stats.pages_resident = CAP;
    fake_state(FAKE_OWN + 1, COH_PEER_S);
    g_assert_false(evict_hooks.adopt(&evict, FAKE_OWN + 1));
    evict_part.free(&evict);
}

/* A page that is filled counts until it is there. */
static void test_expects(void)
{
    setup(CAP);
    fake.ctx.stats.pages_resident = CAP - 1;
    g_assert_true(evict_has_room(&evict, FAKE_FAR));
    evict_expect(&evict, FAKE_FAR);
    g_assert_false(evict_has_room(&evict, FAKE_FAR2));
    have(FAKE_FAR, COH_PEER_M);
    g_assert_cmpint(g_hash_table_size(evict.adopting), ==, 0);
    evict_part.free(&evict);
}

/* Below the cap by more than the headroom nothing goes. */
static void test_headroom(void)
{
    setup(CAP);
    for (CohPage page = 0; page < 64; page++) {
        have(page, COH_PEER_S);
    }
    fake.ctx.stats.pages_resident = CAP - 128;
    g_assert_false(evict_part.run(&evict));
    fake_did("");
    g_assert_cmpint(evict_part.due_ns(&evict), ==, INT64_MAX);
    waiting = 3;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 0; EVICT 1; EVICT 2");
    g_assert_cmpint(fake.ctx.stats.evictions_asked, ==, 3);
    /* Homes get time to answer. */
    g_assert_cmpint(evict_part.due_ns(&evict), ==, fake.now_ns + PAUSE_NS);
    g_assert_false(evict_part.run(&evict));
    fake.now_ns += PAUSE_NS;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 6; EVICT 7; EVICT 8");
    evict_part.free(&evict);
}

/* Clean copies first; of the others a quarter and one, always. */
static void test_clean_first(void)
{
    setup(CAP);
    for (CohPage page = 0; page < 16; page++) {
        have(page, page % 2 ? COH_PEER_S : COH_PEER_M);
    }
    fake.ctx.stats.pages_resident = CAP - 128 + 4;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 1; EVICT 3; EVICT 5; EVICT 7; EVICT 0; EVICT 2");
    evict_part.free(&evict);
}

/* The ring goes round, and no page gets lost. */
static void test_goes_round(void)
{
    setup(CAP);
    for (CohPage page = 0; page < 8; page++) {
        have(page, COH_PEER_S);
    }
    for (unsigned i = 0; i < 3 * FAKE_PAGES / 8; i++) {
        fake.ctx.stats.pages_resident = CAP - 128 + 8;
        fake.now_ns += PAUSE_NS;
        g_assert_true(evict_part.run(&evict));
        fake_did("EVICT 0; EVICT 1; EVICT 2; EVICT 3; EVICT 4; EVICT 5; "
                 "EVICT 6; EVICT 7");
    }
    g_assert_cmpint(evict.ring.len, ==, 8);
    g_assert_cmpint(evict.ring.head, <, evict.ring.size);
    g_assert_cmpint(evict.ring.tail, <, evict.ring.size);
    evict_part.free(&evict);
}

/* A page may go when its hold ends. */
static void test_held(void)
{
    setup(CAP);
    have(5, COH_PEER_S);
    fake.ctx.stats.pages_resident = CAP;
    until_ns = fake.now_ns + 1;
    g_assert_true(evict_part.run(&evict));
    fake_did("");
    fake.now_ns += PAUSE_NS;
    until_ns = fake.now_ns;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 5");
    evict_part.free(&evict);
}

/* In use, held, own, gone, or on its way: not these. */
static void test_not_evictable(void)
{
    CohHome *home = fake.home;

    setup(CAP);
    for (CohPage page = 0; page < 7; page++) {
        have(page, COH_PEER_S);
    }
    until_ns = fake.now_ns + 1;
    fake_state(2, COH_PEER_I);
    fake_state(3, COH_PEER_SM_AD);
    for (CohPage page = FAKE_OWN; page < FAKE_OWN + 3; page++) {
        have(page, COH_PEER_S);
        home[page - FAKE_OWN].state = COH_HOME_S;
        coh_set_add(&home[page - FAKE_OWN].sharers, FAKE_SELF);
    }
    /* Another node has this one, too. */
    coh_set_add(&home[1].sharers, 2);
    have(FAKE_OWN + 3, COH_PEER_M);
    fake.ctx.stats.pages_resident = CAP;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 0; EVICT 1; EVICT 4; EVICT 6; EVICT 65");
    /* A page that was gone is not in the ring any more; it comes back once. */
    g_assert_cmpint(evict.ring.len, ==, 10);
    have(2, COH_PEER_S);
    have(2, COH_PEER_S);
    evict_hooks.changed(&evict, 2);
    g_assert_cmpint(evict.ring.len, ==, 11);
    evict_part.free(&evict);
}

/* Given up and wanted again: it is passed over next time. */
static void test_lives(void)
{
    setup(CAP);
    have(1, COH_PEER_S);
    have(2, COH_PEER_S);
    fake.ctx.stats.pages_resident = CAP - 127;
    g_assert_true(evict_part.run(&evict));
    fake_did("EVICT 1");
    have(1, COH_PEER_S);
    have(3, COH_PEER_S);
    for (int i = 0; i < 3; i++) {
        fake.ctx.stats.pages_resident = CAP - 127;
        fake.now_ns += PAUSE_NS;
        g_assert_true(evict_part.run(&evict));
    }
    fake_did("EVICT 2; EVICT 1; EVICT 3");
    evict_part.free(&evict);
}

static void test_alone(void)
{
    setup(CAP);
    have(1, COH_PEER_S);
    fake.ctx.stats.pages_resident = CAP + SLACK;
    fake.ctx.phase = LANE_ALONE;
    g_assert_false(evict_part.run(&evict));
    g_assert_false(evict_hooks.adopt(&evict, FAKE_OWN));
    fake.ctx.stats.pages_resident = CAP;
    g_assert_true(evict_hooks.adopt(&evict, FAKE_OWN));
    fake.ctx.phase = LANE_FAILED;
    g_assert_false(evict_part.run(&evict));
    evict_part.fail(&evict);
    fake_did("poison 64");
    evict_part.free(&evict);
}

/* Two lanes: each its part of the share, and half of the rest. */
static void test_lanes(void)
{
    static uint8_t many[5 * FAKE_SLICE];
    CohPage share[FAKE_NODES] = {
        FAKE_SLICE, 3 * FAKE_SLICE, FAKE_SLICE,
    };

    fake_init();
    cluster_map_free(fake.map);
    fake.map = cluster_map_new(FAKE_NODES, 5 * FAKE_SLICE, FAKE_BITS, share);
    fake.config.map = fake.map;
    fake.config.lanes = (Lanes) { .n = 2, .bits = FAKE_BITS };
    fake.config.cap_pages = 3 * FAKE_SLICE + 100;
    g_assert_cmpint(evict_flags_bytes(&fake.config), ==, 5 * FAKE_SLICE);
    evict = (Evict) { .ring.flags = many };
    evict_part.init(&evict, &fake.ctx);
    g_assert_cmpint(evict.cap_pages, ==, FAKE_SLICE + 50);
    g_assert_cmpint(evict.ring.size, ==, 3 * FAKE_SLICE);
    evict_part.free(&evict);
    fake.ctx.lane = 1;
    evict_part.init(&evict, &fake.ctx);
    g_assert_cmpint(evict.cap_pages, ==, 2 * FAKE_SLICE + 50);
    g_assert_cmpint(evict.ring.size, ==, 2 * FAKE_SLICE);
    evict_part.free(&evict);
}

static void run_pause(void)
{
    fake.now_ns += PAUSE_NS;
    evict_part.run(&evict);
}

/*
 * To a lower cap in steps: threads get pages meanwhile, as long as fewer come
 * than leave.
 */
static void test_lower(void)
{
    setup(0);
    for (CohPage page = 0; page < FAKE_SLICE; page++) {
        have(page, COH_PEER_S);
    }
    fake.ctx.stats.pages_resident = 1000;
    evict_order_cap(&evict, CAP);
    /* It counts from the order on, and holds from the next pass on. */
    g_assert_cmpint(evict_excess_pages(&evict), ==, 1000 - CAP);
    g_assert_false(evict_has_cap(&evict));
    run_pause();
    g_assert_true(evict_has_cap(&evict));
    g_assert_cmpint(evict.cap_pages, ==, 1000 + 128 - 16);
    g_assert_true(evict_has_room(&evict, FAKE_FAR));
    g_assert_cmpint(fake.ctx.stats.evictions_asked, ==,
                    FAKE_SLICE);
    /* Nothing leaves: it goes down, and faults wait at last. */
    for (int i = 0; i < 7; i++) {
        run_pause();
    }
    g_assert_cmpint(evict.cap_pages, ==, 1000);
    g_assert_false(evict_is_below_cap(&evict));
    /* They left: it follows. */
    fake.ctx.stats.pages_resident = CAP + 50;
    run_pause();
    g_assert_cmpint(evict.cap_pages, ==, CAP + 50 + 128);
    g_assert_cmpint(evict_excess_pages(&evict), ==, 50);
    fake.ctx.stats.pages_resident = CAP - 128;
    run_pause();
    g_assert_cmpint(evict.cap_pages, ==, CAP);
    g_assert_cmpint(evict_excess_pages(&evict), ==, 0);
    evict_part.free(&evict);
}

static void test_raise(void)
{
    setup(CAP);
    fake.ctx.stats.pages_resident = CAP;
    g_assert_false(evict_is_below_cap(&evict));
    evict_order_cap(&evict, 2 * CAP);
    /* The lane must not sleep before it has looked at faults that wait. */
    g_assert_true(evict_part.run(&evict));
    g_assert_false(evict_part.run(&evict));
    g_assert_true(evict_is_below_cap(&evict));
    g_assert_cmpint(evict.cap_pages, ==, 2 * CAP);
    fake_did("");
    evict_order_cap(&evict, 0);
    g_assert_true(evict_part.run(&evict));
    g_assert_false(evict_has_cap(&evict));
    evict_part.free(&evict);
}

/* Pages that came while there was no cap go, each once. */
static void test_came_before(void)
{
    setup(0);
    have(1, COH_PEER_S);
    have(2, COH_PEER_M);
    have(3, COH_PEER_S);
    fake_state(3, COH_PEER_I);
    g_assert_cmpint(evict.ring.len, ==, 0);
    evict_order_cap(&evict, CAP);
    fake.ctx.stats.pages_resident = CAP;
    run_pause();
    fake_did("EVICT 1; EVICT 2");
    g_assert_cmpint(evict.ring.len, ==, 2);
    /* Without a cap for a while, and with one again. */
    evict_order_cap(&evict, 0);
    run_pause();
    have(4, COH_PEER_S);
    g_assert_cmpint(evict.ring.len, ==, 2);
    evict_order_cap(&evict, CAP);
    run_pause();
    fake_did("EVICT 1; EVICT 4; EVICT 2");
    g_assert_cmpint(evict.ring.len, ==, 3);
    evict_part.free(&evict);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/evict/room", test_room);
    g_test_add_func("/evict/adopts", test_adopts);
    g_test_add_func("/evict/expects", test_expects);
    g_test_add_func("/evict/headroom", test_headroom);
    g_test_add_func("/evict/clean-first", test_clean_first);
    g_test_add_func("/evict/not-evictable", test_not_evictable);
    g_test_add_func("/evict/goes-round", test_goes_round);
    g_test_add_func("/evict/held", test_held);
    g_test_add_func("/evict/lives", test_lives);
    g_test_add_func("/evict/alone", test_alone);
    g_test_add_func("/evict/lanes", test_lanes);
    g_test_add_func("/evict/lower", test_lower);
    g_test_add_func("/evict/raise", test_raise);
    g_test_add_func("/evict/came-before", test_came_before);
    return g_test_run();
}
