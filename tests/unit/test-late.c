/*
 * Which node keeps a page that does not come
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "accel/distkvm/engine/late.h"
#include "lane-fake.h"

#define LIMIT_NS (1000LL * SCALE_MS)
#define COMPLAIN_NS (400LL * SCALE_MS)

static Late late;
static Outbox outbox;

void outbox_send(Outbox *to_use, CohNodeId to, WireFrame *frame)
{
    g_assert_true(to_use == &outbox);
    g_assert_cmpint(frame->type, ==, WIRE_LATE);
    fake_do("%s to %d, heard 0x%x",
            frame->sub == WIRE_LATE_MISSED ? "missed" : "at it", to,
            (unsigned)frame->late.heard.word[0]);
}

static void setup(void)
{
    fake_init();
    memset(&late, 0, sizeof(late));
    late.outbox = &outbox;
    late_part.init(&late, &fake.ctx);
}

/* @ms later a look, and what it leads to; twice, as one look is none. */
static void look(unsigned ms)
{
    fake.now_ns += (int64_t)ms * SCALE_MS;
    late_look(&late, LIMIT_NS);
}

static void fetch(CohPage page)
{
    fake_state(page, COH_PEER_IM_AD);
    late_fetch_begins(&late, page);
}

static void serve(CohPage page, CohNodeId requester)
{
    fake.home[page - FAKE_OWN].state = COH_HOME_M_B;
    fake.home[page - FAKE_OWN].requester = requester;
    late_service_begins(&late, page, requester);
}

static void tell(uint8_t sub, CohNodeId from, CohPage page, uint64_t heard)
{
    WireFrame frame = {
        .type = WIRE_LATE, .sub = sub, .from = from,
        .late = { .page = page, .heard.word[0] = heard },
    };

    late_frame(&late, &frame);
}

/* The home does not answer: named, missed, lost. */
static void test_home_is_silent(void)
{
    setup();
    fetch(FAKE_FAR);
    late_heard(&late, FAKE_FAR, 2);
    look(999);
    fake_did("");
    look(1);
    fake_did("");
    look(1);
    fake_did("warns; missed to 0, heard 0x4");
    look(100);
    fake_did("missed to 0, heard 0x4");
    look(2000 + 400 - 1101);
    fake_did("missed to 0, heard 0x4");
    look(2);
    fake_did("missed to 0, heard 0x4; lost 0: page 0x3 has been awaited for "
             "2402 ms");
    late_part.free(&late);
}

/* It says that it serves: it has longer, and not for ever. */
static void test_home_is_at_it(void)
{
    setup();
    fetch(FAKE_FAR);
    look(1500);
    look(1000);
    fake_did("warns; missed to 0, heard 0x0; lost 0: page 0x3 has been "
             "awaited for 2500 ms");
    tell(WIRE_LATE_AT_IT, 2, FAKE_FAR, 0);
    look(1);
    fake_did("missed to 0, heard 0x0; lost 0: page 0x3 has been awaited for "
             "2501 ms");
    tell(WIRE_LATE_AT_IT, 0, FAKE_FAR, 0);
    look(999);
    fake_did("missed to 0, heard 0x0");
    tell(WIRE_LATE_AT_IT, 0, FAKE_FAR, 0);
    look(501);
    fake_did("missed to 0, heard 0x0; lost 0: page 0x3 has been awaited for "
             "4001 ms");
    late_part.free(&late);
}

static void test_arrives(void)
{
    setup();
    fetch(FAKE_FAR);
    look(1500);
    fake_state(FAKE_FAR, COH_PEER_M);
    look(1500);
    fake_did("");
    /* Fetched again: the time before does not count. */
    fetch(FAKE_FAR);
    look(900);
    look(99);
    fake_did("");
    late_part.free(&late);
}

/* As the home: the requester tells which nodes have answered it. */
static void test_owner_is_silent(void)
{
    CohNodeSet asked = coh_set_one(0);

    setup();
    look(0);
    coh_set_add(&asked, FAKE_SELF);
    serve(FAKE_OWN, 2);
    late_asked(&late, FAKE_OWN, &asked);
    fake.now_ns += 1100 * SCALE_MS;
    tell(WIRE_LATE_MISSED, 2, FAKE_OWN, 0x1);
    /* The node that was asked did its part. */
    fake_did("at it to 2, heard 0x1");
    tell(WIRE_LATE_MISSED, 2, FAKE_OWN, 0);
    fake_did("warns; at it to 2, heard 0x0");
    fake.now_ns += 1000 * SCALE_MS;
    tell(WIRE_LATE_MISSED, 2, FAKE_OWN, 0);
    fake_did("lost 0: page 0x40 has been awaited for 2100 ms; "
             "at it to 2, heard 0x0");
    /* Another node that waits behind it: not its to say. */
    tell(WIRE_LATE_MISSED, 0, FAKE_OWN, 0);
    fake_did("at it to 0, heard 0x0");
    fake.home[0].state = COH_HOME_M;
    tell(WIRE_LATE_MISSED, 2, FAKE_OWN, 0);
    fake_did("");
    late_part.free(&late);
}

/* A requester that neither misses the page nor is done. */
static void test_requester_is_silent(void)
{
    setup();
    serve(FAKE_OWN, 2);
    look(1399);
    look(0);
    fake_did("");
    look(1);
    fake_did("warns");
    look(1000);
    fake_did("");
    look(1);
    fake_did("lost 2: page 0x40 has been awaited for 2401 ms");
    tell(WIRE_LATE_MISSED, 2, FAKE_OWN, 0);
    fake_did("at it to 2, heard 0x0");
    look(1000);
    fake_did("");
    late_part.free(&late);
}

/* This node is both: it knows by itself which node owes. */
static void test_own_page(void)
{
    CohNodeSet asked = coh_set_one(0);

    setup();
    fetch(FAKE_OWN);
    serve(FAKE_OWN, FAKE_SELF);
    late_asked(&late, FAKE_OWN, &asked);
    look(1100);
    look(1);
    fake_did("warns");
    late_heard(&late, FAKE_OWN, 0);
    look(1500);
    fake_did("");
    look(1500);
    fake_did("broken: page 0x40 has been awaited for 4101 ms");
    late_part.free(&late);
}

/* Two pages of one slot, both under way. */
static void test_collision(void)
{
    setup();
    G_STATIC_ASSERT(LATE_SLOTS > FAKE_PAGES);
    fake_state(5, COH_PEER_IM_AD);
    late.fetching.slot[4] = (LateEntry) {
        .page = 5, .since_ns = fake.now_ns,
    };
    fetch(4);
    g_assert_cmpint(g_hash_table_size(late.fetching.more), ==, 1);
    late_heard(&late, 4, 2);
    look(1100);
    look(1);
    fake_did("warns; missed to 0, heard 0x0; warns; missed to 0, heard 0x4");
    fake_state(4, COH_PEER_S);
    look(1);
    fake_did("missed to 0, heard 0x0");
    g_assert_cmpint(g_hash_table_size(late.fetching.more), ==, 0);
    late_part.free(&late);
}

static void test_failed(void)
{
    setup();
    fetch(FAKE_FAR);
    fake.ctx.phase = LANE_FAILED;
    look(5000);
    look(5000);
    fake_did("");
    late_part.free(&late);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/late/home-is-silent", test_home_is_silent);
    g_test_add_func("/late/home-is-at-it", test_home_is_at_it);
    g_test_add_func("/late/arrives", test_arrives);
    g_test_add_func("/late/owner-is-silent", test_owner_is_silent);
    g_test_add_func("/late/requester-is-silent", test_requester_is_silent);
    g_test_add_func("/late/own-page", test_own_page);
    g_test_add_func("/late/collision", test_collision);
    g_test_add_func("/late/failed", test_failed);
    return g_test_run();
}
