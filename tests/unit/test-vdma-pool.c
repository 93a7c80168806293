/*
 * Buffers that are kept for bouncing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vdma-cluster/vdma-pool.h"

#define THREADS 4
#define ROUNDS 20000

static VdmaPool pool;

static void test_kept(void)
{
    void *first, *second;

    vdma_pool_init(&pool);
    first = vdma_pool_get(&pool, VDMA_POOL_BYTES);
    second = vdma_pool_get(&pool, VDMA_POOL_MIN);
    g_assert_true(first != second);
    g_assert_cmpint(pool.n, ==, 0);
    vdma_pool_put(&pool, first, VDMA_POOL_BYTES);
    vdma_pool_put(&pool, second, VDMA_POOL_MIN);
    g_assert_cmpint(pool.n, ==, 2);
    /* The last one that came back, for any size: its bytes are in caches. */
    g_assert_true(vdma_pool_get(&pool, VDMA_POOL_BYTES) == second);
    memset(second, 1, VDMA_POOL_BYTES);
    g_assert_true(vdma_pool_get(&pool, VDMA_POOL_MIN) == first);
    vdma_pool_put(&pool, first, VDMA_POOL_MIN);
    vdma_pool_put(&pool, second, VDMA_POOL_BYTES);
    vdma_pool_destroy(&pool);
}

/* Neither small nor very large buffers stay, nor more than the limit. */
static void test_bounded(void)
{
    static const size_t sizes[] = {
        0, 1, VDMA_POOL_MIN - 1, VDMA_POOL_BYTES + 1, 3 * VDMA_POOL_BYTES,
    };
    void *many[VDMA_POOL_KEPT + 3];

    vdma_pool_init(&pool);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        void *buffer = vdma_pool_get(&pool, sizes[i]);

        g_assert_cmpint((uintptr_t)buffer % VDMA_POOL_ALIGN, ==, 0);
        memset(buffer, 1, sizes[i]);
        vdma_pool_put(&pool, buffer, sizes[i]);
        g_assert_cmpint(pool.n, ==, 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = vdma_pool_get(&pool, VDMA_POOL_BYTES);
        g_assert_cmpint((uintptr_t)many[i] % VDMA_POOL_ALIGN, ==, 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        vdma_pool_put(&pool, many[i], VDMA_POOL_BYTES);
    }
    g_assert_cmpint(pool.n, ==, VDMA_POOL_KEPT);
    vdma_pool_destroy(&pool);
}

/* A thread that hangs may use it yet: no other thread gets it, ever. */
static void test_left(void)
{
    uint8_t *left, *other;

    vdma_pool_init(&pool);
    left = vdma_pool_get(&pool, VDMA_POOL_BYTES);
    other = vdma_pool_get(&pool, VDMA_POOL_MIN - 1);
    g_assert_true(vdma_pool_has(&pool, left));
    g_assert_false(vdma_pool_has(&pool, left + 1));
    g_assert_false(vdma_pool_has(&pool, other));
    vdma_pool_put(&pool, other, VDMA_POOL_MIN - 1);
    vdma_pool_leave(&pool, left);
    g_assert_false(vdma_pool_has(&pool, left));
    vdma_pool_put(&pool, left, VDMA_POOL_BYTES);
    g_assert_cmpint(pool.n, ==, 0);
    left[VDMA_POOL_BYTES - 1] = 1;
    other = vdma_pool_get(&pool, VDMA_POOL_BYTES);
    g_assert_true(other != left);
    vdma_pool_put(&pool, other, VDMA_POOL_BYTES);
    g_assert_false(vdma_pool_has(&pool, other));
    vdma_pool_destroy(&pool);
    free(left);
}

/* A buffer is one thread's at a time. */
static void *use(void *opaque)
{
    uint8_t mark = GPOINTER_TO_UINT(opaque);

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t *buffer = vdma_pool_get(&pool, VDMA_POOL_MIN);

        buffer[0] = buffer[VDMA_POOL_MIN - 1] = mark;
        g_thread_yield();
        g_assert_cmpint(buffer[0], ==, mark);
        g_assert_cmpint(buffer[VDMA_POOL_MIN - 1], ==, mark);
        vdma_pool_put(&pool, buffer, VDMA_POOL_MIN);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *thread[THREADS];

    vdma_pool_init(&pool);
    for (unsigned i = 0; i < THREADS; i++) {
        thread[i] = g_thread_new("user", use, GUINT_TO_POINTER(i + 1));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(thread[i]);
    }
    /* As many as were in use at once, none twice. */
    g_assert_cmpint(pool.n, >=, 1);
    g_assert_cmpint(pool.n, <=, THREADS);
    vdma_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vdma-pool/kept", test_kept);
    g_test_add_func("/vdma-pool/bounded", test_bounded);
    g_test_add_func("/vdma-pool/left", test_left);
    g_test_add_func("/vdma-pool/threads", test_threads);
    return g_test_run();
}
