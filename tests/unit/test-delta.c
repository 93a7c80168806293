/*
 * Only the blocks that changed, and never wrong ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/memory/delta.h"

static uint8_t data[COH_PAGE_SIZE], rebuilt[COH_PAGE_SIZE];
static uint8_t wire[DELTA_BYTES_MAX];

static void fill(uint8_t *page)
{
    for (unsigned i = 0; i < COH_PAGE_SIZE; i++) {
        page[i] = g_test_rand_int();
    }
}

static void test_ping_pong(void)
{
    Delta *a = delta_new(0, 0, 16), *b = delta_new(1, 0, 16);
    uint64_t version = delta_new_version(a);
    size_t len;

    fill(data);
    delta_store(a, 5, version, data);
    delta_store(b, 5, version, data);
    for (int turn = 0; turn < 1000; turn++) {
        Delta *to = turn & 1 ? a : b, *from = turn & 1 ? b : a;
        uint64_t have = delta_pin(to, 5);

        data[g_test_rand_int_range(0, COH_PAGE_SIZE)] ^= 1;
        len = delta_encode(from, 5, have, data, wire);
        g_assert_cmpint(len, ==, DELTA_HEAD + DELTA_BLOCK);
        g_assert_true(delta_decode(to, 5, wire, len, rebuilt));
        g_assert_cmpmem(rebuilt, COH_PAGE_SIZE, data, COH_PAGE_SIZE);
        version = delta_new_version(from);
        delta_store(from, 5, version, data);
        delta_unpin(to, 5);
        delta_store(to, 5, version, data);
    }
    delta_free(a);
    delta_free(b);
}

/* Another version, another page, no snapshot: never a wrong page. */
static void test_mismatch(void)
{
    Delta *a = delta_new(0, 0, 16), *b = delta_new(1, 0, 16);
    size_t len;

    fill(data);
    delta_store(a, 5, delta_new_version(a), data);
    len = delta_encode(a, 5, delta_version(a, 5), data, wire);
    g_assert_cmpint(len, ==, DELTA_HEAD);
    /* b has not got the version that this builds on. */
    g_assert_false(delta_decode(b, 5, wire, len, rebuilt));
    delta_store(b, 5, delta_new_version(b), data);
    g_assert_false(delta_decode(b, 5, wire, len, rebuilt));
    /* a has not got b's version: the page goes whole. */
    g_assert_cmpint(delta_encode(a, 5, delta_version(b, 5), data, wire), ==,
                    0);
    /* Pages that share a slot. */
    delta_store(a, 21, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 5), ==, 0);
    delta_free(a);
    delta_free(b);
}

static void test_pin(void)
{
    Delta *a = delta_new(0, 0, 16);
    uint64_t version = delta_new_version(a);

    delta_store(a, 5, version, data);
    g_assert_cmpint(delta_pin(a, 5), ==, version);
    delta_store(a, 21, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 5), ==, version);
    delta_unpin(a, 5);
    delta_store(a, 21, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 5), ==, 0);
    delta_free(a);
}

static void test_zero_base(void)
{
    Delta *a = delta_new(0, 0, 16), *b = delta_new(1, 0, 16);
    size_t len;

    memset(data, 0, sizeof(data));
    data[100] = data[4000] = 7;
    len = delta_encode(a, 9, 0, data, wire);
    g_assert_cmpint(len, ==, DELTA_HEAD + 2 * DELTA_BLOCK);
    g_assert_true(delta_decode(b, 9, wire, len, rebuilt));
    g_assert_cmpmem(rebuilt, COH_PAGE_SIZE, data, COH_PAGE_SIZE);
    delta_free(a);
    delta_free(b);
}

/* Random bytes either decode to something or are refused. */
static void test_hostile(void)
{
    Delta *a = delta_new(0, 0, 16);

    delta_store(a, 5, delta_new_version(a), data);
    for (int i = 0; i < 100000; i++) {
        size_t len = g_test_rand_int_range(0, 400);
        g_autofree uint8_t *exact = g_malloc(len);

        for (size_t n = 0; n < len; n++) {
            exact[n] = n < DELTA_HEAD && g_test_rand_bit() ? 0
                       : g_test_rand_int();
        }
        delta_decode(a, 5, exact, len, rebuilt);
    }
    delta_free(a);
}

static void test_off(void)
{
    Delta *a = delta_new(0, 0, 0);

    delta_store(a, 5, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 5), ==, 0);
    g_assert_cmpint(delta_encode(a, 5, 0, data, wire), ==, 0);
    delta_free(a);
}

/* A version is not given twice: not by two lanes, nor by two processes. */
static void test_authors(void)
{
    static const struct { unsigned author; uint8_t incarnation; } one[] = {
        { 0, 0 }, { 0, 1 }, { 0, UINT8_MAX }, { 1, 0 }, { 1, 1 },
        { (1 << DELTA_AUTHOR_BITS) - 2, 0 },
        { (1 << DELTA_AUTHOR_BITS) - 2, UINT8_MAX },
    };
    g_autoptr(GHashTable) seen = g_hash_table_new_full(
        g_int64_hash, g_int64_equal, g_free, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(one); i++) {
        Delta *d = delta_new(one[i].author, one[i].incarnation, 0);

        for (unsigned n = 0; n < 100; n++) {
            uint64_t version = delta_new_version(d);

            g_assert_cmpuint(version, !=, DELTA_ZERO_VERSION);
            g_assert_true(g_hash_table_add(seen, g_memdup2(
                &version, sizeof(version))));
        }
        delta_free(d);
    }
}

/*
 * A process that has an id which another had before counts from 0 again: a
 * snapshot of that one's is no base for pages of this one.
 */
static void test_incarnation(void)
{
    Delta *old = delta_new(0, 0, 16), *b = delta_new(1, 0, 16);
    Delta *again = delta_new(0, 1, 16);
    uint64_t version = delta_new_version(old);

    fill(data);
    delta_store(b, 5, version, data);
    data[0] ^= 1;
    delta_store(again, 5, delta_new_version(again), data);
    /* The same place in the count, and other bytes. */
    g_assert_cmpint(delta_encode(again, 5, delta_version(b, 5), data, wire),
                    ==, 0);
    delta_free(old);
    delta_free(b);
    delta_free(again);
}

/* Snapshots that fit stay, and pinned ones always. */
static void test_resize(void)
{
    Delta *a = delta_new(0, 0, 16);
    uint64_t version[16];
    unsigned walks;
    size_t bytes;

    fill(data);
    for (unsigned page = 0; page < 16; page++) {
        version[page] = delta_new_version(a);
        delta_store(a, page, version[page], data);
    }
    bytes = delta_bytes(a);
    delta_pin(a, 3);
    delta_pin(a, 7);
    /* Both would be in one slot. */
    g_assert_false(delta_resize(a, 4));
    g_assert_false(delta_resize(a, 0));
    g_assert_cmpint(delta_bytes(a), ==, bytes);
    g_assert_false(delta_resize(a, 4));
    walks = delta_walks(a);
    /* Another answer does not help. */
    delta_pin(a, 5);
    delta_unpin(a, 5);
    g_assert_false(delta_resize(a, 4));
    g_assert_cmpint(delta_walks(a), ==, walks);
    delta_unpin(a, 3);
    g_assert_true(delta_resize(a, 4));
    g_assert_cmpint(delta_version(a, 7), ==, version[7]);
    g_assert_cmpint(delta_version(a, 3), ==, 0);
    g_assert_cmpint(delta_version(a, 2), ==, version[2]);
    g_assert_cmpint(delta_bytes(a), <, bytes / 3);
    /* It is pinned still. */
    delta_store(a, 11, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 11), ==, 0);
    g_assert_true(delta_resize(a, 1000));
    delta_store(a, 999, delta_new_version(a), data);
    g_assert_cmpint(delta_version(a, 7), ==, version[7]);
    g_assert_cmpint(delta_version(a, 999), !=, 0);
    delta_unpin(a, 7);
    g_assert_true(delta_resize(a, 0));
    g_assert_cmpint(delta_bytes(a), ==, 0);
    g_assert_true(delta_resize(a, 2));
    delta_store(a, 1, version[1], data);
    g_assert_cmpint(delta_version(a, 1), ==, version[1]);
    delta_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/delta/ping-pong", test_ping_pong);
    g_test_add_func("/delta/mismatch", test_mismatch);
    g_test_add_func("/delta/pin", test_pin);
    g_test_add_func("/delta/zero-base", test_zero_base);
    g_test_add_func("/delta/hostile", test_hostile);
    g_test_add_func("/delta/off", test_off);
    g_test_add_func("/delta/authors", test_authors);
    g_test_add_func("/delta/incarnation", test_incarnation);
    g_test_add_func("/delta/resize", test_resize);
    return g_test_run();
}
