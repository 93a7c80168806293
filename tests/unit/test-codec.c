/*
 * A page that arrives is the page that left
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/codec.h"
#include "lane-fake.h"

#define PAGE FAKE_FAR

/* This node and another one. */
static Codec here, there;
static Pagewalk walks;

static void setup(unsigned snapshots)
{
    fake_init();
    fake.config.delta_pages = snapshots;
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    memset(&walks, 0, sizeof(walks));
    here.pagewalk = there.pagewalk = &walks;
    codec_part.init(&here, &fake.ctx);
    fake.node.id = 2;
    codec_part.init(&there, &fake.ctx);
    fake.node.id = FAKE_SELF;
}

static void teardown(void)
{
    codec_part.free(&here);
    codec_part.free(&there);
}

/* @page goes from one to the other, which asks for it; the frame's length. */
static uint32_t move(Codec *from, Codec *to, const uint8_t *page, bool owned)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETM, 0, PAGE);
    WireFrame frame = { .coh.page = PAGE };
    const void *data;

    ev.have = codec_pin_version(to, PAGE);
    memcpy(from->copy, page, COH_PAGE_SIZE);
    codec_copied(from, &ev, owned);
    codec_put_page(from, &frame);
    g_assert_true(codec_get_page(to, &frame, &data));
    g_assert_true(frame.coh.zero == !data);
    if (data) {
        g_assert_cmpmem(data, COH_PAGE_SIZE, page, COH_PAGE_SIZE);
    }
    codec_store_received(to, &frame, data);
    codec_store_sent(from, PAGE);
    return frame.len;
}

static void fill(uint8_t *page)
{
    for (unsigned i = 0; i < COH_PAGE_SIZE; i++) {
        page[i] = i * 7 + (i >> 8) + 1;
    }
}

static void test_blocks(void)
{
    uint8_t page[COH_PAGE_SIZE];

    setup(64);
    fill(page);
    g_assert_cmpint(move(&here, &there, page, true), ==, COH_PAGE_SIZE);
    /* Both know it now: what changed is enough, in both directions. */
    page[100] ^= 1;
    g_assert_cmpint(move(&there, &here, page, true), ==,
                    DELTA_HEAD + DELTA_BLOCK);
    page[200] ^= 1;
    page[3000] ^= 1;
    g_assert_cmpint(move(&here, &there, page, true), ==,
                    DELTA_HEAD + 2 * DELTA_BLOCK);
    g_assert_cmpint(fake.ctx.stats.pages_sent, ==, 3);
    g_assert_cmpint(fake.ctx.stats.delta_pages_sent, ==, 2);
    g_assert_cmpint(fake.ctx.stats.delta_bytes_saved, ==,
                    2 * COH_PAGE_SIZE - 2 * DELTA_HEAD - 3 * DELTA_BLOCK);
    teardown();
}

static void test_zero(void)
{
    uint8_t page[COH_PAGE_SIZE] = { 0 };

    setup(64);
    g_assert_cmpint(move(&here, &there, page, true), ==, 0);
    g_assert_cmpint(fake.ctx.stats.zero_pages_sent, ==, 1);
    g_assert_cmpint(fake.ctx.stats.pages_sent, ==, 0);
    /* A page of zeroes is a version that all have. */
    page[5] = 1;
    g_assert_cmpint(move(&there, &here, page, true), ==,
                    DELTA_HEAD + DELTA_BLOCK);
    teardown();
}

static void test_whole_pages_only(void)
{
    uint8_t page[COH_PAGE_SIZE];

    setup(0);
    fill(page);
    for (int i = 0; i < 3; i++) {
        page[i]++;
        g_assert_cmpint(move(&here, &there, page, true), ==, COH_PAGE_SIZE);
    }
    teardown();
}

/* An owner that wrote nothing had it for a walk; a sharer tells nothing. */
static void test_walks(void)
{
    uint8_t page[COH_PAGE_SIZE];

    setup(64);
    fill(page);
    move(&here, &there, page, true);
    g_assert_false(pagewalk_has(&walks, PAGE));
    move(&there, &here, page, true);
    g_assert_true(pagewalk_has(&walks, PAGE));
    g_assert_cmpint(fake.ctx.stats.unchanged_pages_sent, ==, 1);
    move(&here, &there, page, false);
    g_assert_cmpint(fake.ctx.stats.unchanged_pages_sent, ==, 1);
    page[9]++;
    move(&there, &here, page, true);
    g_assert_false(pagewalk_has(&walks, PAGE));
    teardown();
}

/* A written page has a new version; one that was only read keeps its own. */
static void test_versions(void)
{
    uint8_t page[COH_PAGE_SIZE];
    uint64_t first;

    setup(64);
    fill(page);
    move(&here, &there, page, true);
    first = codec_pin_version(&here, PAGE);
    g_assert_cmpuint(first, !=, DELTA_ZERO_VERSION);
    g_assert_cmpuint(codec_pin_version(&there, PAGE), ==, first);
    codec_unpin_version(&there, PAGE);
    codec_unpin_version(&here, PAGE);
    move(&there, &here, page, false);
    g_assert_cmpuint(codec_pin_version(&here, PAGE), ==, first);
    page[9]++;
    move(&there, &here, page, true);
    g_assert_cmpuint(codec_pin_version(&here, PAGE), !=, first);
    teardown();
}

/* A version that a request has named stays until the answer. */
static void test_pins(void)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETM, 0, PAGE);
    uint8_t page[COH_PAGE_SIZE];
    uint64_t first;

    setup(64);
    fill(page);
    move(&here, &there, page, true);
    first = codec_pin_version(&here, PAGE);
    for (int pinned = 1; pinned >= 0; pinned--) {
        fill(here.copy);
        here.copy[1]++;
        codec_copied(&here, &ev, true);
        codec_store_sent(&here, PAGE);
        /* Once only. */
        codec_store_sent(&here, PAGE + 64);
        g_assert_true((codec_pin_version(&here, PAGE) == first) == pinned);
        g_assert_cmpuint(codec_pin_version(&here, PAGE), !=,
                         DELTA_ZERO_VERSION);
        codec_unpin_version(&here, PAGE);
    }
    teardown();
}

static void test_not_sent(void)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETM, 0, PAGE);

    setup(64);
    fill(here.copy);
    codec_copied(&here, &ev, true);
    codec_drop_copy(&here);
    codec_store_sent(&here, PAGE);
    g_assert_cmpuint(codec_pin_version(&here, PAGE), ==, DELTA_ZERO_VERSION);
    teardown();
}

static void test_malformed(void)
{
    static const uint8_t junk[DELTA_HEAD + 3] = { 1, 2, 3 };
    WireFrame frame = {
        .coh.page = PAGE, .payload = junk, .len = sizeof(junk),
    };
    const void *data;

    setup(64);
    g_assert_false(codec_get_page(&here, &frame, &data));
    frame.len = 0;
    g_assert_false(codec_get_page(&here, &frame, &data));
    teardown();
}

/* Another number of snapshots, as soon as pins allow it. */
static void test_order(void)
{
    static uint8_t page[COH_PAGE_SIZE];

    setup(2);
    fill(page);
    move(&here, &there, page, true);
    g_assert_cmpint(codec_pin_version(&there, PAGE), !=, 0);
    codec_order_snapshots(&there, 0);
    g_assert_false(codec_part.run(&there));
    g_assert_cmpint(there.snapshots, ==, 2);
    codec_unpin_version(&there, PAGE);
    g_assert_false(codec_part.run(&there));
    g_assert_cmpint(there.snapshots, ==, 0);
    g_assert_cmpint(codec_bytes(&there), ==, 0);
    codec_order_snapshots(&there, 5);
    codec_part.run(&there);
    move(&here, &there, page, true);
    page[0]++;
    g_assert_cmpint(move(&here, &there, page, true), <, COH_PAGE_SIZE);
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/codec/blocks", test_blocks);
    g_test_add_func("/codec/zero", test_zero);
    g_test_add_func("/codec/whole-pages-only", test_whole_pages_only);
    g_test_add_func("/codec/walks", test_walks);
    g_test_add_func("/codec/versions", test_versions);
    g_test_add_func("/codec/pins", test_pins);
    g_test_add_func("/codec/not-sent", test_not_sent);
    g_test_add_func("/codec/malformed", test_malformed);
    g_test_add_func("/codec/order", test_order);
    return g_test_run();
}
