/*
 * Pages touched before the cluster is complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/prejoin.h"
#include "lane-fake.h"

static Prejoin prejoin;

static void setup(void)
{
    fake_init();
    memset(&prejoin, 0, sizeof(prejoin));
    prejoin_part.init(&prejoin, &fake.ctx);
}

static void test_lends_and_gives_back(void)
{
    GQueue taken = G_QUEUE_INIT;
    PrejoinPage *copy;

    setup();
    prejoin_fault(&prejoin, 9);
    prejoin_fault(&prejoin, 3);
    prejoin_fault(&prejoin, 5);
    fake_did("install 9 rw zero; wake 9; install 3 rw zero; wake 3; "
             "install 5 rw zero; wake 5");
    g_assert_true(prejoin_has(&prejoin, 3));
    g_assert_false(prejoin_has(&prejoin, 4));
    fake.ram[9][100] = 1;
    fake.ram[5][4095] = 2;
    prejoin_give_back(&prejoin, &taken);
    fake_did("zap 9; zap 3; zap 5");
    g_assert_false(prejoin_has(&prejoin, 9));
    copy = g_queue_pop_head(&taken);
    g_assert_cmpint(copy->page, ==, 9);
    g_assert_cmpint(copy->data[100], ==, 1);
    g_free(copy);
    copy = g_queue_pop_head(&taken);
    g_assert_cmpint(copy->page, ==, 5);
    g_assert_cmpint(copy->data[4095], ==, 2);
    g_free(copy);
    /* A page of zeroes is what it would be anyway. */
    g_assert_true(g_queue_is_empty(&taken));
    prejoin_give_back(&prejoin, &taken);
    fake_did("");
    prejoin_part.free(&prejoin);
}

/* Two threads fault on one page. */
static void test_twice(void)
{
    GQueue taken = G_QUEUE_INIT;

    setup();
    prejoin_fault(&prejoin, 9);
    fake.mem_result = -EEXIST;
    prejoin_fault(&prejoin, 9);
    fake_did("install 9 rw zero; wake 9; install 9 rw zero; wake 9");
    fake.mem_result = 0;
    prejoin_give_back(&prejoin, &taken);
    fake_did("zap 9");
    prejoin_part.free(&prejoin);
}

static void test_no_memory(void)
{
    GQueue taken = G_QUEUE_INIT;

    setup();
    fake.mem_result = -ENOMEM;
    prejoin_fault(&prejoin, 9);
    fake_did("install 9 rw zero; "
             "broken: no memory for a page of another node; poison 9");
    g_assert_false(prejoin_has(&prejoin, 9));
    fake.mem_result = 0;
    prejoin_fault(&prejoin, 9);
    fake.mem_result = -EINVAL;
    prejoin_give_back(&prejoin, &taken);
    fake_did("install 9 rw zero; wake 9; zap 9; "
             "broken: a page touched before the join stays");
    prejoin_part.free(&prejoin);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/prejoin/lends-and-gives-back",
                    test_lends_and_gives_back);
    g_test_add_func("/prejoin/twice", test_twice);
    g_test_add_func("/prejoin/no-memory", test_no_memory);
    return g_test_run();
}
