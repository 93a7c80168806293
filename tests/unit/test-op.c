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
        g_assert_cmpint(coh_op_has_bytes(&op), ==,
                        code == COH_OP_GET_BYTES || code == COH_OP_PUT_BYTES);
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

/* Bytes lie within the page, and no word is named besides. */
static void test_valid_lengths(void)
{
    static const unsigned offsets[] = { 0, 1, 7, 4088, 4095, 4096, 65535 };

    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        for (unsigned length = 0; length <= UINT16_MAX; length++) {
            CohOp op = {
                .code = COH_OP_PUT_BYTES, .offset = offsets[i],
                .length = length,
            };

            g_assert_cmpint(coh_op_is_valid(&op), ==,
                            length && offsets[i] + length <= COH_PAGE_SIZE);
            op.size = 8;
            g_assert_false(coh_op_is_valid(&op));
            op.code = COH_OP_READ;
            op.offset = 0;
            g_assert_cmpint(coh_op_is_valid(&op), ==, !length);
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

static void check_copy(unsigned offset, unsigned length, unsigned shift)
{
    CohOp op = {
        .code = COH_OP_PUT_BYTES, .offset = offset, .length = length,
    };
    uint8_t bytes[COH_PAGE_SIZE + 16], back[COH_PAGE_SIZE + 16];
    Page page, wanted;

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 7 + 1;
    }
    memset(&page, 0xa5, sizeof(page));
    wanted = page;
    memcpy(wanted.byte + offset, bytes + shift, length);
    g_assert_true(coh_op_is_valid(&op));
    g_assert_true(coh_op_writes(&op));
    coh_op_copy(&op, &page, bytes + shift);
    g_assert_cmpint(memcmp(&page, &wanted, sizeof(page)), ==, 0);
    memset(back, 0x5a, sizeof(back));
    op.code = COH_OP_GET_BYTES;
    g_assert_false(coh_op_writes(&op));
    coh_op_copy(&op, &page, back + shift);
    g_assert_cmpmem(back + shift, length, bytes + shift, length);
    g_assert_cmpint(back[shift + length], ==, 0x5a);
    g_assert_cmpint(memcmp(&page, &wanted, sizeof(page)), ==, 0);
}

static void test_copies(void)
{
    static const unsigned lengths[] = { 1, 7, 8, 9, 64, 100, 1000, 4096 };

    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        for (unsigned shift = 0; shift < 9; shift++) {
            unsigned last = COH_PAGE_SIZE - lengths[i];

            check_copy(0, lengths[i], shift);
            check_copy(MIN(shift, last), lengths[i], shift);
            check_copy(last, lengths[i], shift);
        }
    }
}

/* No aligned word of 8 bytes is ever half old and half new. */
static gpointer put_patterns(gpointer page)
{
    CohOp op = { .code = COH_OP_PUT_BYTES, .offset = 1, .length = 4094 };
    uint8_t bytes[COH_PAGE_SIZE];

    for (unsigned round = 0; round < ROUNDS; round++) {
        memset(bytes, round, sizeof(bytes));
        coh_op_copy(&op, page, bytes);
    }
    return NULL;
}

static void test_untorn(void)
{
    CohOp op = { .code = COH_OP_GET_BYTES, .offset = 8, .length = 4080 };
    Page page = { { 0 } };
    uint64_t words[510];
    GThread *thread = g_thread_new("put", put_patterns, &page);

    for (unsigned round = 0; round < ROUNDS; round++) {
        coh_op_copy(&op, &page, words);
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
            g_assert_cmphex(words[i], ==,
                            (words[i] & 0xff) * 0x0101010101010101);
        }
    }
    g_thread_join(thread);
}

/* ----------------------------------------------------------------- bytes */

static const CohOp sample = {
    .code = COH_OP_COMPARE_SWAP, .size = 4, .offset = 0x0ffc,
    .operand = 0x1122334455667788, .expected = 0x99aabbccddeeff00,
};

static void test_round_trip(void)
{
    for (unsigned code = COH_OP_READ; code <= COH_OP_COMPARE_SWAP; code++) {
        for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
            CohOp in = sample, out;
            uint8_t buf[COH_OP_BYTES];
            const void *bytes = buf;

            in.code = code;
            in.size = sizes[s];
            in.offset = COH_PAGE_SIZE - sizes[s];
            coh_op_encode(&in, buf);
            g_assert_true(coh_op_decode(buf, sizeof(buf), s & 1, &out,
                                        &bytes));
            g_assert_null(bytes);
            g_assert_cmpint(out.code, ==, in.code);
            g_assert_cmpint(out.size, ==, in.size);
            g_assert_cmpint(out.offset, ==, in.offset);
            g_assert_cmphex(out.operand, ==, in.operand);
            g_assert_cmphex(out.expected, ==, in.expected);
        }
    }
}

/* Bytes go along with a request that puts, and with an answer to a get. */
static void test_payload(void)
{
    for (unsigned code = COH_OP_GET_BYTES; code <= COH_OP_PUT_BYTES; code++) {
        for (unsigned answer = 0; answer < 2; answer++) {
            CohOp in = { .code = code, .offset = 4, .length = 100 }, out;
            size_t more = answer == (code == COH_OP_GET_BYTES) ? 100 : 0;
            uint8_t buf[COH_OP_BYTES + 200] = { 0 };
            const void *bytes;

            coh_op_encode(&in, buf);
            g_assert_cmpint(coh_op_payload(&in, answer), ==, more);
            for (size_t len = 0; len <= sizeof(buf); len++) {
                g_assert_cmpint(coh_op_decode(buf, len, answer, &out, &bytes),
                                ==, len == COH_OP_BYTES + more);
            }
            g_assert_true(coh_op_decode(buf, COH_OP_BYTES + more, answer, &out,
                                        &bytes));
            g_assert_true(bytes == (more ? buf + COH_OP_BYTES : NULL));
            g_assert_cmpint(out.length, ==, 100);
            g_assert_cmpint(out.offset, ==, 4);
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
    const void *bytes;
    CohOp op;

    coh_op_encode(&sample, buf);
    for (size_t len = 0; len <= sizeof(buf); len++) {
        g_assert_cmpint(coh_op_decode(buf, len, false, &op, &bytes), ==,
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
        /* a word has no length, and no operation two kinds of operands */
        { 4, 1 }, { 5, 1 }, { 0, COH_OP_GET_BYTES }, { 0, COH_OP_PUT_BYTES },
    };
    uint8_t buf[COH_OP_BYTES];
    const void *bytes;
    CohOp op;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        coh_op_encode(&sample, buf);
        g_assert_true(coh_op_decode(buf, sizeof(buf), false, &op,
                                    &bytes));
        buf[bad[i].at] = bad[i].value;
        g_assert_false(coh_op_decode(buf, sizeof(buf), false, &op,
                                    &bytes));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/op/valid-codes", test_valid_codes);
    g_test_add_func("/op/valid-sizes", test_valid_sizes);
    g_test_add_func("/op/valid-offsets", test_valid_offsets);
    g_test_add_func("/op/valid-lengths", test_valid_lengths);
    g_test_add_func("/op/effects", test_effects);
    g_test_add_func("/op/copies", test_copies);
    g_test_add_func("/op/untorn", test_untorn);
    g_test_add_func("/op/payload", test_payload);
    g_test_add_func("/op/threads", test_threads);
    g_test_add_func("/op/round-trip", test_round_trip);
    g_test_add_func("/op/layout", test_layout);
    g_test_add_func("/op/wrong-length", test_wrong_length);
    g_test_add_func("/op/malformed", test_malformed);
    return g_test_run();
}
