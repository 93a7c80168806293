/*
 * Which threads wait for which pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/waiters.h"
#include "lane-fake.h"

static Waiters waiters;
static Hold hold;

void hold_installed(Hold *to, CohPage page, uint32_t tid, int64_t now_ns)
{
    g_assert_true(to == &hold);
    fake_do("hold %d for %u", (int)page, tid);
}

void hold_fetched(Hold *to, int64_t ns)
{
    fake_do("took %d", (int)ns);
}

static void setup(void)
{
    fake_init();
    memset(&waiters, 0, sizeof(waiters));
    waiters.hold = &hold;
    waiters_part.init(&waiters, &fake.ctx);
}

static void add(CohPage page, uint32_t tid, bool write, uint8_t state,
                bool prefetched)
{
    MemFault fault = { .page = page, .write = write, .tid = tid };

    waiters_add(&waiters, &fault, state, prefetched);
}

static void test_comes_and_goes(void)
{
    setup();
    add(5, 7, false, COH_PEER_I, false);
    add(6, 8, false, COH_PEER_I, false);
    g_assert_cmpint(waiters_count(&waiters), ==, 2);
    g_assert_true(waiters_is_blocked(&waiters, 7));
    g_assert_false(waiters_is_blocked(&waiters, 9));
    g_assert_null(waiters_find(&waiters, 7));
    fake.now_ns += 300;
    g_assert_true(waiters_installed(&waiters, 5));
    fake_did("hold 5 for 7");
    g_assert_null(waiters_find(&waiters, 5));
    g_assert_false(waiters_is_blocked(&waiters, 7));
    g_assert_true(waiters_is_blocked(&waiters, 8));
    /* Nobody asked for it. */
    g_assert_false(waiters_installed(&waiters, 5));
    fake_did("");
    waiters_part.free(&waiters);
}

/* Time is counted by what the thread wanted; not that of prefetched pages. */
static void test_counts(void)
{
    setup();
    add(1, 7, false, COH_PEER_I, false);
    add(2, 7, true, COH_PEER_I, false);
    add(3, 7, true, COH_PEER_S, false);
    add(4, 7, true, COH_PEER_I, true);
    fake.now_ns += 10;
    waiters_installed(&waiters, 1);
    fake.now_ns += 10;
    waiters_installed(&waiters, 2);
    fake.now_ns += 10;
    waiters_installed(&waiters, 3);
    g_assert_false(waiters_installed(&waiters, 4));
    g_assert_cmpint(fake.ctx.stats.wait_read_ns, ==, 10);
    g_assert_cmpint(fake.ctx.stats.wait_write_ns, ==, 20);
    g_assert_cmpint(fake.ctx.stats.wait_upgrade_ns, ==, 30);
    waiters_part.free(&waiters);
}

/* A bucket for each power of two of microseconds; the last has the rest. */
static void test_buckets(void)
{
    static const struct {
        int64_t ns;
        unsigned bucket;
    } cases[] = {
        { 0, 0 }, { 999, 0 }, { 1000, 1 }, { 1999, 1 }, { 2000, 2 },
        { 3999, 2 }, { 4000, 3 }, { 1000 * 1000, 10 },
        { INT64_C(4194303999), 22 }, { INT64_C(4194304000), 23 },
        { INT64_C(86400000000000), 23 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t (*waits)[ENGINE_WAIT_BUCKETS] = fake.ctx.stats.waits;

        setup();
        add(1, 7, true, COH_PEER_I, false);
        fake.now_ns += cases[i].ns;
        waiters_installed(&waiters, 1);
        for (unsigned n = 0; n < ENGINE_WAIT_BUCKETS; n++) {
            g_assert_cmpint(waits[ENGINE_WAIT_WRITE][n], ==,
                            n == cases[i].bucket);
            g_assert_cmpint(waits[ENGINE_WAIT_READ][n], ==, 0);
        }
        waiters_part.free(&waiters);
    }
}

/* How long other nodes took: not what this one had itself. */
static void test_remote(void)
{
    setup();
    add(5, 7, false, COH_PEER_I, false);
    waiters_find(&waiters, 5)->remote = true;
    fake.now_ns += 300;
    waiters_installed(&waiters, 5);
    fake_did("hold 5 for 7; took 300");
    waiters_part.free(&waiters);
}

/* A thread comes to want a page that is on its way; the first entry stays. */
static void test_prefetched(void)
{
    setup();
    add(5, 7, true, COH_PEER_I, true);
    g_assert_false(waiters_is_blocked(&waiters, 7));
    fake.now_ns += 300;
    add(5, 8, false, COH_PEER_IM_AD, false);
    g_assert_cmpint(waiters_count(&waiters), ==, 1);
    g_assert_true(waiters_find(&waiters, 5)->blocked);
    g_assert_cmpint(waiters_find(&waiters, 5)->tid, ==, 7);
    g_assert_cmpint(waiters_find(&waiters, 5)->since_ns, ==,
                    fake.now_ns - 300);
    /* A prefetch does not make it less wanted. */
    add(5, 7, true, COH_PEER_I, true);
    g_assert_true(waiters_installed(&waiters, 5));
    waiters_part.free(&waiters);
}

static void test_deferred(void)
{
    MemFault one = { .page = 5, .tid = 7 }, two = { .page = 6, .tid = 8 };
    GArray *deferred;

    setup();
    g_assert_false(waiters_has_deferred(&waiters));
    waiters_defer(&waiters, &one);
    waiters_defer(&waiters, &two);
    g_assert_true(waiters_has_deferred(&waiters));
    /* They were not asked for; but any page may be theirs. */
    g_assert_cmpint(waiters_count(&waiters), ==, 0);
    g_assert_true(waiters_installed(&waiters, 99));
    deferred = waiters_take_deferred(&waiters);
    g_assert_cmpint(deferred->len, ==, 2);
    g_assert_cmpint(g_array_index(deferred, MemFault, 0).page, ==, 5);
    g_assert_cmpint(g_array_index(deferred, MemFault, 1).tid, ==, 8);
    g_array_unref(deferred);
    g_assert_false(waiters_has_deferred(&waiters));
    waiters_part.free(&waiters);
}

static void test_fails(void)
{
    MemFault full = { .page = 9, .tid = 8 };

    setup();
    fake_state(5, COH_PEER_IS_D);
    add(5, 7, false, COH_PEER_I, false);
    waiters_defer(&waiters, &full);
    waiters_part.fail(&waiters);
    fake_did("poison 5; poison 9");
    g_assert_false(waiters_has_deferred(&waiters));
    waiters_part.free(&waiters);
}

/* A copy that is here may be written once nobody else is left to see it. */
static void test_release(void)
{
    setup();
    fake_state(5, COH_PEER_SM_AD);
    fake_state(6, COH_PEER_M);
    lane_release(&fake.ctx, 5);
    lane_release(&fake.ctx, 6);
    fake_did("protect 5+1 rw; wake 5; wake 6");
    waiters_part.free(&waiters);
}

/* A page whose protection is being changed is here, and stays so. */
static void test_release_later(void)
{
    setup();
    fake_state(5, COH_PEER_S);
    fake.mem_result = -EAGAIN;
    lane_release(&fake.ctx, 5);
    fake_did("protect 5+1 rw; wake 5");
    fake.mem_result = -ENOENT;
    lane_release(&fake.ctx, 5);
    fake_did("protect 5+1 rw; poison 5; wake 5");
    waiters_part.free(&waiters);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/waiters/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/waiters/counts", test_counts);
    g_test_add_func("/waiters/buckets", test_buckets);
    g_test_add_func("/waiters/remote", test_remote);
    g_test_add_func("/waiters/prefetched", test_prefetched);
    g_test_add_func("/waiters/deferred", test_deferred);
    g_test_add_func("/waiters/fails", test_fails);
    g_test_add_func("/waiters/release", test_release);
    g_test_add_func("/waiters/release-later", test_release_later);
    return g_test_run();
}
