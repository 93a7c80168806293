/*
 * Numbers of operations
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/op-number.h"

#define TAKEN 1000

/* Neither 0, nor one twice, nor a step that was there before. */
static void test_take(void)
{
    g_autoptr(GHashTable) numbers = g_hash_table_new(g_int64_hash,
                                                     g_int64_equal);
    g_autoptr(GHashTable) steps = g_hash_table_new(g_int64_hash,
                                                   g_int64_equal);
    static uint64_t number[TAKEN], step[TAKEN];
    OpNumbers all = { .left = 0 };

    for (int i = 0; i < TAKEN; i++) {
        number[i] = op_number_take(&all);
        step[i] = number[i] - (i ? number[i - 1] : 0);
        g_assert_cmpuint(number[i], !=, 0);
        g_assert_true(g_hash_table_add(numbers, &number[i]));
        g_assert_true(g_hash_table_add(steps, &step[i]));
    }
}

/* Two nodes, or two lanes, have numbers of their own. */
static void test_apart(void)
{
    OpNumbers one = { .left = 0 }, other = { .left = 0 };

    g_assert_cmpuint(op_number_take(&one), !=, op_number_take(&other));
}

/* A number that is 0 would name no operation. */
static void test_no_zero(void)
{
    OpNumbers all = { .number = { 7, 0 }, .left = 2 };

    g_assert_cmpuint(op_number_take(&all), ==, 7);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/op-number/take", test_take);
    g_test_add_func("/op-number/apart", test_apart);
    g_test_add_func("/op-number/no-zero", test_no_zero);
    return g_test_run();
}
