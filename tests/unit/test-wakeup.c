/*
 * When threads are woken
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/wakeup.h"
#include "lane-fake.h"

static Wakeup wakeup;

static void setup(void)
{
    fake_init();
    memset(&wakeup, 0, sizeof(wakeup));
    wakeup_part.init(&wakeup, &fake.ctx);
}

static void test_at_once(void)
{
    setup();
    wakeup_installed(&wakeup, 5);
    wakeup_page(&wakeup, 5);
    fake_did("wake 5");
    g_assert_false(wakeup_is_pending(&wakeup));
    /* A thread that was woken may have faulted again. */
    g_assert_true(fake.ctx.faults_pending);
    wakeup_part.free(&wakeup);
}

static void test_waits_for_prefetched(void)
{
    setup();
    wakeup_expect(&wakeup, 6);
    wakeup_installed(&wakeup, 5);
    wakeup_page(&wakeup, 5);
    fake_did("");
    g_assert_true(wakeup_is_pending(&wakeup));
    g_assert_false(fake.ctx.faults_pending);
    /* The end of the pass. */
    g_assert_false(wakeup_pass.run(&wakeup));
    fake_did("wake 5");
    g_assert_false(wakeup_is_pending(&wakeup));
    /* It came; nothing is on its way any more. */
    wakeup_installed(&wakeup, 6);
    wakeup_page(&wakeup, 7);
    fake_did("wake 7");
    wakeup_part.free(&wakeup);
}

static void test_not_for_ever(void)
{
    setup();
    for (CohPage page = 10; page < 40; page++) {
        wakeup_expect(&wakeup, page);
    }
    wakeup_page(&wakeup, 5);
    for (CohPage page = 10; page < 25; page++) {
        wakeup_installed(&wakeup, page);
        fake_did("");
    }
    wakeup_installed(&wakeup, 25);
    fake_did("wake 5");
    /* Counted anew for the next. */
    wakeup_page(&wakeup, 6);
    wakeup_installed(&wakeup, 26);
    fake_did("");
    wakeup_part.free(&wakeup);
}

/* The thread of a page walk needs each of its tables. */
static void test_walks(void)
{
    setup();
    fake.config.walks_write = true;
    wakeup_expect(&wakeup, 6);
    wakeup_page(&wakeup, 5);
    fake_did("wake 5");
    wakeup_part.free(&wakeup);
}

static void test_fails(void)
{
    setup();
    wakeup_expect(&wakeup, 6);
    wakeup_page(&wakeup, 5);
    wakeup_part.fail(&wakeup);
    fake_did("wake 5");
    wakeup_page(&wakeup, 7);
    fake_did("wake 7");
    wakeup_part.free(&wakeup);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wakeup/at-once", test_at_once);
    g_test_add_func("/wakeup/waits-for-prefetched", test_waits_for_prefetched);
    g_test_add_func("/wakeup/not-for-ever", test_not_for_ever);
    g_test_add_func("/wakeup/walks", test_walks);
    g_test_add_func("/wakeup/fails", test_fails);
    return g_test_run();
}
