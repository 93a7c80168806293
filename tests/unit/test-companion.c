/*
 * Pages that are missed together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/companion.h"

#define TID 7
#define SOON 1000
#define LATER (2 * (int64_t)COMPANION_WINDOW_NS)
/* Bursts until a companion is trusted. */
#define LEARN 3

static Companions companions;
static Companion list[COMPANIONS_MAX];

static int64_t cpu_ns;

static void start(void)
{
    companions_free(&companions);
    companions_init(&companions);
}

static void miss(uint32_t page, bool write, int64_t ran_ns)
{
    cpu_ns += ran_ns;
    companions_missed(&companions, page, write, TID, cpu_ns);
}

/* A burst begins with @page: which pages come along? */
static unsigned begin(uint32_t page)
{
    miss(page, false, LATER);
    return companions_take(&companions, page, list);
}

static const Companion *find(unsigned n, uint32_t page)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i].page == page) {
            return &list[i];
        }
    }
    return NULL;
}

static void test_learns(void)
{
    unsigned n;

    start();
    for (unsigned i = 0; i < LEARN; i++) {
        g_assert_cmpint(begin(1), ==, 0);
        miss(2, false, SOON);
        miss(3, true, SOON);
        companions_take(&companions, 3, list);
    }
    n = begin(1);
    g_assert_cmpint(n, ==, 2);
    g_assert_true(find(n, 3)->write);
    g_assert_false(find(n, 2)->write);
    /* Forwards only. */
    g_assert_cmpint(companions_take(&companions, 3, list), ==, 0);
}

/* Each time, or it is none. */
static void test_in_a_row(void)
{
    start();
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpint(begin(1), ==, 0);
        if (i % LEARN) {
            miss(2, false, SOON);
        }
    }
}

/* A while, or another thread, begins another burst. */
static void test_bursts(void)
{
    start();
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpint(begin(1), ==, 0);
        companions_missed(&companions, 3, false, TID + 1, cpu_ns);
        miss(4, false, LATER);
    }
    g_assert_cmpint(begin(4), ==, 0);
    /* Not longer than the window since the first, in sum. */
    for (unsigned i = 0; i < LEARN; i++) {
        begin(10);
        miss(11, false, COMPANION_WINDOW_NS / 2);
        miss(12, false, COMPANION_WINDOW_NS / 2);
    }
    g_assert_cmpint(begin(10), ==, 1);
    g_assert_cmpint(list[0].page, ==, 11);
}

static void test_written(void)
{
    start();
    for (unsigned i = 0; i < LEARN; i++) {
        begin(1);
        g_assert_false(companions_will_write(&companions, 2));
        miss(2, false, SOON);
        miss(2, true, SOON);
    }
    g_assert_true(companions_will_write(&companions, 2));
    g_assert_false(companions_will_write(&companions, 1));
    /* The upgrade is no miss of its own, but it says how to fetch it. */
    g_assert_cmpint(begin(1), ==, 1);
    g_assert_true(list[0].write);
    g_assert_cmpint(companions_take(&companions, 2, list), ==, 0);
    /* Written alone: not a page that is read first. */
    for (unsigned i = 0; i < 2 * LEARN; i++) {
        miss(9, true, LATER);
        g_assert_false(companions_will_write(&companions, 9));
    }
}

/* Uses without a miss, of a companion that was missed all @times before. */
static unsigned trusted_for(unsigned times)
{
    unsigned uses = 0;

    start();
    for (unsigned i = 0; i < times; i++) {
        while (begin(1)) {
            continue;
        }
        miss(2, false, SOON);
    }
    while (begin(1)) {
        g_assert_cmpint(++uses, <=, 1 << COMPANION_TRUST_MAX);
    }
    return uses;
}

/* It is left out now and then, and trusted for longer if it is missed then. */
static void test_trust(void)
{
    unsigned uses = trusted_for(LEARN);

    g_assert_cmpint(uses, >, 1);
    /* It was not missed when it was left out: forgotten. */
    g_assert_cmpint(begin(1), ==, 0);
    g_assert_cmpint(begin(1), ==, 0);
    g_assert_cmpint(trusted_for(LEARN + 1), >, uses);
    g_assert_cmpint(trusted_for(LEARN + 20), ==,
                    1 << COMPANION_TRUST_MAX);
}

/* Pages of one time leave room for those of each time. */
static void test_full(void)
{
    start();
    for (uint32_t page = 100; page < 160; page++) {
        begin(1);
        for (uint32_t k = 0; k < COMPANIONS_MAX; k++) {
            miss(page * 100 + k, false, SOON);
        }
    }
    for (unsigned i = 0; i < LEARN + 2; i++) {
        begin(1);
        miss(2, false, SOON);
        miss(3, false, SOON);
    }
    g_assert_cmpint(begin(1), ==, 2);
}

/* Any page number, any number of misses in a burst. */
static void test_wild(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    start();
    for (unsigned i = 0; i < 300000; i++) {
        CohPage page = g_rand_int_range(rand, 0, i % 2 ? 5000 : 20);
        unsigned n;

        page = g_rand_int_range(rand, 0, 50) ? page : UINT64_MAX - page;
        companions_will_write(&companions, page);
        companions_missed(&companions, page, g_rand_boolean(rand),
                          g_rand_int_range(rand, 0, 70),
                          g_rand_int_range(rand, -5, 2 * SOON));
        n = companions_take(&companions, page, list);
        g_assert_cmpint(n, <=, COMPANIONS_MAX);
        g_assert_true(page <= UINT32_MAX || !n);
        for (unsigned k = 0; k < n; k++) {
            g_assert_cmpint(list[k].page, !=, page);
            g_assert_cmpint(list[k].page, <, 5000);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    companions_init(&companions);
    g_test_add_func("/companion/learns", test_learns);
    g_test_add_func("/companion/in-a-row", test_in_a_row);
    g_test_add_func("/companion/bursts", test_bursts);
    g_test_add_func("/companion/written", test_written);
    g_test_add_func("/companion/trust", test_trust);
    g_test_add_func("/companion/full", test_full);
    g_test_add_func("/companion/wild", test_wild);
    return g_test_run();
}
