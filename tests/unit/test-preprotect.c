/*
 * Several pages are protected at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/preprotect.h"
#include "lane-fake.h"

static Preprotect protect;
static uint8_t list[PAGE_LIST_MAX * PAGE_LIST_ITEM_BYTES];
static WireFrame frame;

/* A list of @n pages from @first on; this node owns them. */
static void setup(CohPage first, unsigned n)
{
    fake_init();
    memset(&protect, 0, sizeof(protect));
    preprotect_part.init(&protect, &fake.ctx);
    frame = (WireFrame) {
        .sub = COH_EV_GETS, .coh = { .page = first, .more = n - 1 }, .payload = list,
        .len = (n - 1) * PAGE_LIST_ITEM_BYTES,
    };
    for (unsigned i = 0; i < n; i++) {
        PageListItem item = { .page = first + i };

        fake_state(first + i, COH_PEER_M);
        if (i) {
            page_list_put(list, i - 1, &item);
        }
    }
}

static void test_all(void)
{
    setup(70, 8);
    preprotect_begin(&protect, &frame);
    fake_did("protect 70+8 ro");
    g_assert_false(preprotect_has(&protect, 69));
    g_assert_true(preprotect_has(&protect, 70));
    g_assert_true(preprotect_has(&protect, 77));
    g_assert_false(preprotect_has(&protect, 78));
    /* The protocol gave all but two. */
    for (CohPage page = 70; page < 78; page++) {
        fake_state(page, COH_PEER_S);
    }
    fake_state(72, COH_PEER_M);
    fake_state(77, COH_PEER_M);
    preprotect_end(&protect);
    fake_did("protect 72+1 rw; wake 72; protect 77+1 rw; wake 77");
    g_assert_false(preprotect_has(&protect, 70));
    preprotect_end(&protect);
    fake_did("");
}

/* Up to the first page that this node cannot give, or that lies elsewhere. */
static void test_part(void)
{
    PageListItem far = { .page = 100 };

    setup(70, 8);
    fake_state(73, COH_PEER_S);
    preprotect_begin(&protect, &frame);
    fake_did("protect 70+3 ro");
    setup(70, 8);
    fake_state(100, COH_PEER_M);
    page_list_put(list, 3, &far);
    preprotect_begin(&protect, &frame);
    fake_did("protect 70+4 ro");
}

static void test_nothing(void)
{
    setup(70, 1);
    preprotect_begin(&protect, &frame);
    setup(70, 8);
    fake.ctx.pinned = true;
    preprotect_begin(&protect, &frame);
    setup(70, 8);
    frame.sub = COH_EV_GETM;
    preprotect_begin(&protect, &frame);
    setup(70, 8);
    fake_state(70, COH_PEER_S);
    preprotect_begin(&protect, &frame);
    setup(70, 8);
    fake_state(71, COH_PEER_I);
    preprotect_begin(&protect, &frame);
    fake_did("");
    g_assert_false(preprotect_has(&protect, 70));
}

/* A page number that no page has, from a peer. */
static void test_absurd(void)
{
    PageListItem absurd = { .page = UINT64_MAX };

    setup(70, 3);
    page_list_put(list, 0, &absurd);
    preprotect_begin(&protect, &frame);
    frame.coh.page = UINT64_MAX;
    preprotect_begin(&protect, &frame);
    setup(FAKE_PAGES - 2, 2);
    absurd.page = FAKE_PAGES;
    frame.coh.more = 2;
    page_list_put(list, 1, &absurd);
    preprotect_begin(&protect, &frame);
    fake_did("protect 190+2 ro");
}

static void test_protect_fails(void)
{
    setup(70, 2);
    fake.mem_result = -ENOMEM;
    preprotect_begin(&protect, &frame);
    fake_did("protect 70+2 ro; protect 70+1 rw; "
             "broken: a page stays write-protected; wake 70; "
             "protect 71+1 rw; broken: a page stays write-protected; wake 71");
    g_assert_false(preprotect_has(&protect, 70));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/preprotect/all", test_all);
    g_test_add_func("/preprotect/part", test_part);
    g_test_add_func("/preprotect/nothing", test_nothing);
    g_test_add_func("/preprotect/absurd", test_absurd);
    g_test_add_func("/preprotect/protect-fails", test_protect_fails);
    return g_test_run();
}
