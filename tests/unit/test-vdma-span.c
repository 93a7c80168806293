/*
 * An iovec as pieces of pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vdma-cluster/vdma-span.h"

#define PAGES 6
#define BYTES (PAGES * VDMA_PAGE)
#define ELEMENTS_MAX 12
#define ROUNDS 3000

static uint8_t *guest, *buffer, *wanted;

/* As QEMU's iov_from_buf(). */
static size_t plain(const struct iovec *iov, unsigned n, size_t offset,
                    uint8_t *from, size_t bytes)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && (offset || done < bytes); i++) {
        if (offset < iov[i].iov_len) {
            size_t len = MIN(iov[i].iov_len - offset, bytes - done);

            memcpy(iov[i].iov_base + offset, from + done, len);
            done += len;
            offset = 0;
        } else {
            offset -= iov[i].iov_len;
        }
    }
    return done;
}

static size_t by_spans(const struct iovec *iov, unsigned n, size_t offset,
                       size_t bytes, unsigned *spans)
{
    VdmaWalk walk;
    VdmaSpan span;

    *spans = 0;
    vdma_walk_init(&walk, iov, n, offset, buffer, bytes);
    while (vdma_walk_next(&walk, &span)) {
        g_assert_cmpint(span.length, >, 0);
        g_assert_cmpint((uintptr_t)span.guest % VDMA_PAGE + span.length, <=,
                        VDMA_PAGE);
        g_assert_true(vdma_span_is_page(&span) == (span.length == 4096));
        memcpy(span.guest, span.buffer, span.length);
        ++*spans;
    }
    return walk.done;
}

/* Elements overlap, are empty, and lie in one page: as a guest may say. */
static void test_random(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct iovec iov[ELEMENTS_MAX];
        unsigned n = g_test_rand_int_range(0, ELEMENTS_MAX + 1), spans;
        size_t offset = g_test_rand_int_range(0, 3) *
                        g_test_rand_int_range(0, 5000);
        size_t bytes = g_test_rand_int_range(0, BYTES);
        size_t done;

        for (unsigned i = 0; i < n; i++) {
            size_t at = g_test_rand_int_range(0, BYTES);
            size_t len = g_test_rand_int_range(0, g_test_rand_int_range(0, 4)
                                                  ? 300 : BYTES);

            iov[i].iov_base = guest + at;
            iov[i].iov_len = MIN(len, BYTES - at);
        }
        for (unsigned i = 0; i < BYTES; i += sizeof(int)) {
            *(int *)(buffer + i) = g_test_rand_int();
        }
        memset(guest, round, BYTES);
        done = plain(iov, n, offset, buffer, bytes);
        memcpy(wanted, guest, BYTES);
        memset(guest, round, BYTES);
        g_assert_cmpint(by_spans(iov, n, offset, bytes, &spans), ==, done);
        g_assert_cmpint(memcmp(guest, wanted, BYTES), ==, 0);
    }
}

/* Where an iovec is cut, but memory goes on, there is one piece. */
static void test_merged(void)
{
    struct iovec iov[] = {
        { guest + 100, 50 }, { guest + 150, 0 }, { guest + 150, 3946 },
        { guest + 4096, 4096 }, { guest + 8192, 10 }, { guest + 8200, 10 },
        { guest + 100, 10 },
    };
    VdmaWalk walk;
    VdmaSpan span;
    /* The last but one overlaps, and the last comes back to a page. */
    static const struct { unsigned at, length; } pieces[] = {
        { 100, 3996 }, { 4096, 4096 }, { 8192, 10 }, { 8200, 10 }, { 100, 10 },
    };

    vdma_walk_init(&walk, iov, G_N_ELEMENTS(iov), 0, buffer, BYTES);
    for (unsigned i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_assert_true(vdma_walk_next(&walk, &span));
        g_assert_true(span.guest == guest + pieces[i].at);
        g_assert_cmpint(span.length, ==, pieces[i].length);
    }
    g_assert_false(vdma_walk_next(&walk, &span));
    g_assert_false(vdma_walk_next(&walk, &span));
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    guest = g_aligned_alloc(PAGES, VDMA_PAGE, VDMA_PAGE);
    buffer = g_malloc(BYTES);
    wanted = g_malloc(BYTES);
    g_test_add_func("/vdma-span/random", test_random);
    g_test_add_func("/vdma-span/merged", test_merged);
    ret = g_test_run();
    g_aligned_free(guest);
    g_free(buffer);
    g_free(wanted);
    return ret;
}
