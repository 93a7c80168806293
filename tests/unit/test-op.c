/*
 * Operations on words: which exist, what they do, and their bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-op.h"

#define THREADS 4
#define ROUNDS 100000

static const uint8_t sizes[] = { 1, 2, 4, 8 };

typedef union Page {
    uint8_t byte[COH_PAGE_SIZE];
    uint64_t aligned;
} Page;

/* The part of @value that a word of @size bytes can hold. */
static uint64_t cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

/* Of the guest, whose order of bytes is little-endian. */
static uint64_t word_at(const Page *page, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)page->byte[offset + i] << (8 * i);
    }
    return value;
}

static void set_word(Page *page, unsigned offset, unsigned size,
                     uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        page->byte[offset + i] = value >> (8 * i);
    }
}

/* ------------------------------------------------------------- validity */

static bool is_size(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static void test_valid_codes(void)
{
    for (unsigned code = 0; code < 256; code++) {
        CohOp op = { .code = code, .size = 8 };

        g_assert_cmpint(coh_op_is_valid(&op), ==,
                        code >= COH_OP_READ && code <= COH_OP_COMPARE_SWAP);
        if (coh_op_is_valid(&op)) {
            g_assert_cmpint(coh_op_writes(&op), ==, code != COH_OP_READ);
        }
    }
}

static void test_valid_sizes(void)
{
    for (unsigned size = 0; size < 256; size++) {
        CohOp op = { .code = COH_OP_ADD, .size = size };

        g_assert_cmpint(coh_op_is_valid(&op), ==, is_size(size));
    }
}

/* Aligned, and all of the word within the page. */
static void test_valid_offsets(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (unsigned offset = 0; offset <= UINT16_MAX; offset++) {
            CohOp op = {
                .code = COH_OP_READ, .size = sizes[i], .offset = offset,
            };

            g_assert_cmpint(coh_op_is_valid(&op), ==,
                            offset % sizes[i] == 0 &&
                            offset + sizes[i] <= COH_PAGE_SIZE);
        }
    }
}

/* --------------------------------------------------------------- effects */

typedef struct Effect {
    uint8_t code;
    uint64_t before, operand, expected;
    uint64_t after;
} Effect;

/* Cut to each size; in bits that a word has not there is rubbish. */
static const Effect effects[] = {
    { COH_OP_READ, 0x0123456789abcdef, 5, 7, 0x0123456789abcdef },
    { COH_OP_WRITE, 0x0123456789abcdef, 0xfedcba9876543210, 7,
      0xfedcba9876543210 },
    { COH_OP_EXCHANGE, 0x0123456789abcdef, 0xfedcba9876543210, 7,
      0xfedcba9876543210 },
    { COH_OP_ADD, 0x1111111111111111, 0x2222222222222222, 7,
      0x3333333333333333 },
    { COH_OP_ADD, UINT64_MAX, 1, 7, 0 },
    { COH_OP_ADD, UINT64_MAX, 3, 7, 2 },
    { COH_OP_ADD, 0, UINT64_MAX, 7, UINT64_MAX },
    { COH_OP_COMPARE_SWAP, 0x0123456789abcdef, 0xfedcba9876543210,
      0x0123456789abcdef, 0xfedcba9876543210 },
    /* As expected but for the lowest bit, which every size has. */
    { COH_OP_COMPARE_SWAP, 0x0123456789abcdef, 0xfedcba9876543210,
      0x0123456789abcdee, 0x0123456789abcdef },
};

static void check_effect(const Effect *e, unsigned size, unsigned offset)
{
    CohOp op = {
        .code = e->code, .size = size, .offset = offset,
        .operand = e->operand, .expected = e->expected,
    };
    Page page, wanted;

    g_assert_true(coh_op_is_valid(&op));
    memset(&page, 0x5a, sizeof(page));
    set_word(&page, offset, size, e->before);
    wanted = page;
    set_word(&wanted, offset, size, e->after);
    g_assert_cmphex(coh_op_perform(&op, &page), ==, cut(e->before, size));
    g_assert_cmphex(word_at(&page, offset, size), ==, cut(e->after, size));
    /* Nor are its neighbours touched. */
    g_assert_cmpint(memcmp(&page, &wanted, sizeof(page)), ==, 0);
}

static void test_effects(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(effects); i++) {
        for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
            check_effect(&effects[i], sizes[s], 0);
            check_effect(&effects[i], sizes[s], 3 * sizes[s]);
            check_effect(&effects[i], sizes[s], COH_PAGE_SIZE - sizes[s]);
        }
    }
}

typedef struct Worker {
    Page *page;
    unsigned size;
} Worker;

static void perform(Page *page, CohOp op)
{
    coh_op_perform(&op, page);
}

/* Increments in one way, then in the other. */
static gpointer increment(gpointer opaque)
{
    Worker *w = opaque;
    CohOp swap = { .code = COH_OP_COMPARE_SWAP, .size = w->size };
    uint64_t old;

    for (int i = 0; i < ROUNDS; i++) {
        perform(w->page, (CohOp) {
            .code = COH_OP_ADD, .size = w->size, .operand = 1,
        });
        perform(w->page, (CohOp) {
            .code = COH_OP_ADD, .size = w->size, .offset = w->size,
            .operand = -1,
        });
        do {
            old = swap.expected;
            swap.operand = old + 1;
            swap.expected = coh_op_perform(&swap, w->page);
        } while (swap.expected != old);
    }
    return NULL;
}

/* Each is one access: none of several threads' increments is lost. */
static void test_threads(void)
{
    for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
        GThread *thread[THREADS];
        Page page = { { 0 } };
        Worker w = { &page, sizes[s] };

        for (int i = 0; i < THREADS; i++) {
            thread[i] = g_thread_new("increment", increment, &w);
        }
        for (int i = 0; i < THREADS; i++) {
            g_thread_join(thread[i]);
        }
        g_assert_cmphex(word_at(&page, 0, w.size), ==,
                        cut(2 * THREADS * ROUNDS, w.size));
        g_assert_cmphex(word_at(&page, w.size, w.size), ==,
                        cut(-(uint64_t)THREADS * ROUNDS, w.size));
    }
}

/* ----------------------------------------------------------------- bytes */

static const CohOp sample = {
    .code = COH_OP_COMPARE_SWAP, .size = 4, .offset = 0x0ffc,
    .operand = 0x1122334455667788, .expected = 0x99aabbccddeeff00,
};

static void test_round_trip(void)
{
    for (unsigned code = COH_OP_READ; code < COH_OP__MAX; code++) {
        for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
            CohOp in = sample, out;
            uint8_t buf[COH_OP_BYTES];

            in.code = code;
            in.size = sizes[s];
            in.offset = COH_PAGE_SIZE - sizes[s];
            coh_op_encode(&in, buf);
            g_assert_true(coh_op_decode(buf, sizeof(buf), &out));
            g_assert_cmpint(out.code, ==, in.code);
            g_assert_cmpint(out.size, ==, in.size);
            g_assert_cmpint(out.offset, ==, in.offset);
            g_assert_cmphex(out.operand, ==, in.operand);
            g_assert_cmphex(out.expected, ==, in.expected);
        }
    }
}

/* The bytes are the documented ones, on any host. */
static void test_layout(void)
{
    static const uint8_t wanted[COH_OP_BYTES] = {
        5, 4, 0xfc, 0x0f, 0, 0, 0, 0,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
    };
    uint8_t buf[COH_OP_BYTES];

    memset(buf, 0xa5, sizeof(buf));
    coh_op_encode(&sample, buf);
    g_assert_cmpmem(buf, sizeof(buf), wanted, sizeof(wanted));
}

static void test_wrong_length(void)
{
    uint8_t buf[2 * COH_OP_BYTES] = { 0 };
    CohOp op;

    coh_op_encode(&sample, buf);
    for (size_t len = 0; len <= sizeof(buf); len++) {
        g_assert_cmpint(coh_op_decode(buf, len, &op), ==,
                        len == COH_OP_BYTES);
    }
}

static void test_malformed(void)
{
    /* Offset of a byte and a value that makes the operation invalid. */
    static const struct { int at; uint8_t value; } bad[] = {
        { 0, COH_OP_NONE }, { 0, COH_OP__MAX }, { 0, 0xff },
        { 1, 0 }, { 1, 3 }, { 1, 5 }, { 1, 16 }, { 1, 0xff },
        /* too large for where it is */
        { 1, 8 },
        { 2, 0xfd }, { 2, 0xfe }, { 2, 0xff },
        /* over the end of the page */
        { 3, 0x10 }, { 3, 0xff },
    };
    uint8_t buf[COH_OP_BYTES];
    CohOp op;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        coh_op_encode(&sample, buf);
        g_assert_true(coh_op_decode(buf, sizeof(buf), &op));
        buf[bad[i].at] = bad[i].value;
        g_assert_false(coh_op_decode(buf, sizeof(buf), &op));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/op/valid-codes", test_valid_codes);
    g_test_add_func("/op/valid-sizes", test_valid_sizes);
    g_test_add_func("/op/valid-offsets", test_valid_offsets);
    g_test_add_func("/op/effects", test_effects);
    g_test_add_func("/op/threads", test_threads);
    g_test_add_func("/op/round-trip", test_round_trip);
    g_test_add_func("/op/layout", test_layout);
    g_test_add_func("/op/wrong-length", test_wrong_length);
    g_test_add_func("/op/malformed", test_malformed);
    return g_test_run();
}
