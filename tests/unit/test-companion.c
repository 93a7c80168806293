/*
 * Pages that are missed together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/companion.h"

#define TID 7
#define SOON 1000
#define LATER (2 * (int64_t)COMPANION_GAP_NS)

static Companions companions;

/* Pages @first to @last - 1 in one burst; read, but for those of @written. */
static void burst(unsigned first, unsigned last, uint64_t written)
{
    for (unsigned page = first; page < last; page++) {
        companions_missed(&companions, page, written >> page & 1, TID,
                          page == first ? LATER : SOON);
    }
}

static unsigned found(CohPage page, Companion *list)
{
    return companions_take(&companions, page, list);
}

static const Companion *find(const Companion *list, unsigned n, uint32_t page)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i].page == page) {
            return &list[i];
        }
    }
    return NULL;
}

static void start(void)
{
    companions_free(&companions);
    companions_init(&companions);
}

static void test_twice(void)
{
    Companion list[COMPANIONS_MAX];
    unsigned n;

    start();
    g_assert_cmpint(found(1, list), ==, 0);
    burst(1, 5, 1 << 3);
    g_assert_cmpint(found(1, list), ==, 0);
    burst(1, 5, 1 << 3);
    n = found(1, list);
    g_assert_cmpint(n, ==, 3);
    g_assert_true(find(list, n, 3)->write);
    g_assert_false(find(list, n, 2)->write);
    /* Forwards only: what comes first is another burst's. */
    g_assert_cmpint(found(4, list), ==, 0);
    n = found(3, list);
    g_assert_cmpint(n, ==, 1);
    g_assert_cmpint(list[0].page, ==, 4);
}

/* A gap, or another thread, begins a burst. */
static void test_bursts(void)
{
    Companion list[COMPANIONS_MAX];

    start();
    for (unsigned i = 0; i < 3; i++) {
        companions_missed(&companions, 1, false, TID, LATER);
        companions_missed(&companions, 2, false, TID, LATER);
        companions_missed(&companions, 3, false, TID + 1, SOON);
    }
    g_assert_cmpint(found(1, list), ==, 0);
    g_assert_cmpint(found(2, list), ==, 0);
}

static void test_written(void)
{
    Companion list[COMPANIONS_MAX];

    start();
    for (unsigned i = 0; i < 2; i++) {
        g_assert_false(companions_will_write(&companions, 2));
        companions_missed(&companions, 1, false, TID, LATER);
        companions_missed(&companions, 2, false, TID, SOON);
        companions_missed(&companions, 2, true, TID, SOON);
    }
    g_assert_true(companions_will_write(&companions, 2));
    g_assert_false(companions_will_write(&companions, 1));
    /* The upgrade is no miss of its own, but it is a companion's way. */
    g_assert_cmpint(found(1, list), ==, 1);
    g_assert_true(list[0].write);
    g_assert_cmpint(found(2, list), ==, 0);
    /* Written alone: not a page that is read first. */
    for (unsigned i = 0; i < 3; i++) {
        companions_missed(&companions, 9, true, TID, LATER);
    }
    g_assert_false(companions_will_write(&companions, 9));
}

/* What is fetched is not missed, so it must be missed from time to time. */
static void test_fades(void)
{
    Companion list[COMPANIONS_MAX];
    unsigned uses = 0;

    start();
    burst(1, 4, 0);
    burst(1, 4, 0);
    while (found(1, list)) {
        uses++;
        g_assert_cmpint(uses, <=, 2 * COMPANION_USES);
    }
    g_assert_cmpint(uses, >=, COMPANION_USES);
    burst(1, 4, 0);
    g_assert_cmpint(found(1, list), ==, 2);
}

/* The list of a page has an end; the trusted stay. */
static void test_full(void)
{
    Companion list[COMPANIONS_MAX];
    unsigned n;

    start();
    for (unsigned i = 0; i < 3; i++) {
        burst(1, 4, 0);
    }
    for (uint32_t page = 100; page < 140; page++) {
        companions_missed(&companions, 1, false, TID, LATER);
        companions_missed(&companions, page, false, TID, SOON);
    }
    n = found(1, list);
    g_assert_cmpint(n, ==, 2);
    g_assert_nonnull(find(list, n, 2));
    g_assert_nonnull(find(list, n, 3));
}

/* Any page number, any number of misses in a burst. */
static void test_wild(void)
{
    Companion list[COMPANIONS_MAX];
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    start();
    for (unsigned i = 0; i < 300000; i++) {
        CohPage page = g_rand_int_range(rand, 0, 5000);
        unsigned n;

        page = g_rand_int_range(rand, 0, 50) ? page : UINT64_MAX - page;
        companions_missed(&companions, page, g_rand_boolean(rand),
                          g_rand_int_range(rand, 0, 70),
                          g_rand_int_range(rand, -5, 600 * 1000));
        n = found(page, list);
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
    g_test_add_func("/companion/twice", test_twice);
    g_test_add_func("/companion/bursts", test_bursts);
    g_test_add_func("/companion/written", test_written);
    g_test_add_func("/companion/fades", test_fades);
    g_test_add_func("/companion/full", test_full);
    g_test_add_func("/companion/wild", test_wild);
    return g_test_run();
}
