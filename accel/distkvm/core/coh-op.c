/*
 * distkvm: operations on a word, or on some bytes, where their page is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "coh-op.h"

bool coh_op_has_bytes(const CohOp *op)
{
    return op->code == COH_OP_GET_BYTES || op->code == COH_OP_PUT_BYTES;
}

size_t coh_op_payload(const CohOp *op, bool answer)
{
    return op->code == (answer ? COH_OP_GET_BYTES : COH_OP_PUT_BYTES)
           ? op->length : 0;
}

bool coh_op_is_valid(const CohOp *op)
{
    if (coh_op_has_bytes(op)) {
        return !op->size && op->length && op->offset < COH_PAGE_SIZE &&
               op->length <= COH_PAGE_SIZE - op->offset;
    }
    return op->code > COH_OP_NONE && op->code < COH_OP__MAX && !op->length &&
           (op->size == 1 || op->size == 2 || op->size == 4 ||
            op->size == 8) &&
           op->offset % op->size == 0 && op->offset < COH_PAGE_SIZE;
}

bool coh_op_writes(const CohOp *op)
{
    return op->code != COH_OP_READ && op->code != COH_OP_GET_BYTES;
}

#define PERFORM(bits, word)                                                 \
    static uint64_t perform##bits(const CohOp *op, void *at)                \
    {                                                                       \
        word old = op->expected;                                            \
        word operand = op->operand;                                         \
                                                                            \
        switch (op->code) {                                                 \
        case COH_OP_READ:                                                   \
            return __atomic_load_n((word *)at, __ATOMIC_SEQ_CST);           \
        case COH_OP_ADD:                                                    \
            return __atomic_fetch_add((word *)at, operand,                  \
                                      __ATOMIC_SEQ_CST);                    \
        case COH_OP_COMPARE_SWAP:                                           \
            __atomic_compare_exchange_n((word *)at, &old, operand, false,   \
                                        __ATOMIC_SEQ_CST,                   \
                                        __ATOMIC_SEQ_CST);                  \
            return old;                                                     \
        default:                                                            \
            return __atomic_exchange_n((word *)at, operand,                 \
                                       __ATOMIC_SEQ_CST);                   \
        }                                                                   \
    }

PERFORM(8, uint8_t)
PERFORM(16, uint16_t)
PERFORM(32, uint32_t)
PERFORM(64, uint64_t)

uint64_t coh_op_perform(const CohOp *op, void *page)
{
    void *word = (uint8_t *)page + op->offset;

    switch (op->size) {
    case 1:
        return perform8(op, word);
    case 2:
        return perform16(op, word);
    case 4:
        return perform32(op, word);
    default:
        return perform64(op, word);
    }
}

/* One byte, or one aligned word, of the page at @at. */
static void move_byte(bool put, uint8_t *at, uint8_t *byte)
{
    if (put) {
        __atomic_store_n(at, *byte, __ATOMIC_RELAXED);
    } else {
        *byte = __atomic_load_n(at, __ATOMIC_RELAXED);
    }
}

static void move_word(bool put, uint8_t *at, uint8_t *bytes)
{
    uint64_t word;

    if (put) {
        memcpy(&word, bytes, sizeof(word));
        __atomic_store_n((uint64_t *)at, word, __ATOMIC_RELAXED);
    } else {
        word = __atomic_load_n((uint64_t *)at, __ATOMIC_RELAXED);
        memcpy(bytes, &word, sizeof(word));
    }
}

void coh_op_copy(const CohOp *op, void *page, void *bytes)
{
    bool put = op->code == COH_OP_PUT_BYTES;
    uint8_t *at = (uint8_t *)page + op->offset, *mine = bytes;
    uint8_t *end = at + op->length;

    while (at < end) {
        if ((uintptr_t)at % 8 == 0 && end - at >= 8) {
            move_word(put, at, mine);
            at += 8;
            mine += 8;
        } else {
            move_byte(put, at++, mine++);
        }
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Offsets; docs/wire-format.rst has the same table. */
enum {
    AT_CODE = 0,        /* 1 */
    AT_SIZE = 1,        /* 1 */
    AT_OFFSET = 2,      /* 2 */
    AT_LENGTH = 4,      /* 2, then 2 unused */
    AT_OPERAND = 8,     /* 8 */
    AT_EXPECTED = 16,   /* 8 */
};

void coh_op_encode(const CohOp *op, uint8_t out[COH_OP_BYTES])
{
    uint64_t operand = GUINT64_TO_LE(op->operand);
    uint64_t expected = GUINT64_TO_LE(op->expected);

    memset(out, 0, COH_OP_BYTES);
    out[AT_CODE] = op->code;
    out[AT_SIZE] = op->size;
    out[AT_OFFSET] = op->offset;
    out[AT_OFFSET + 1] = op->offset >> 8;
    out[AT_LENGTH] = op->length;
    out[AT_LENGTH + 1] = op->length >> 8;
    memcpy(out + AT_OPERAND, &operand, sizeof(operand));
    memcpy(out + AT_EXPECTED, &expected, sizeof(expected));
}

bool coh_op_decode(const void *in, size_t len, bool answer, CohOp *op,
                   const void **bytes)
{
    const uint8_t *at = in;
    uint64_t operand, expected;
    size_t more;

    if (len < COH_OP_BYTES) {
        return false;
    }
    memcpy(&operand, at + AT_OPERAND, sizeof(operand));
    memcpy(&expected, at + AT_EXPECTED, sizeof(expected));
    *op = (CohOp) {
        .code = at[AT_CODE],
        .size = at[AT_SIZE],
        .offset = at[AT_OFFSET] | at[AT_OFFSET + 1] << 8,
        .length = at[AT_LENGTH] | at[AT_LENGTH + 1] << 8,
        .operand = GUINT64_FROM_LE(operand),
        .expected = GUINT64_FROM_LE(expected),
    };
    more = coh_op_payload(op, answer);
    *bytes = more ? at + COH_OP_BYTES : NULL;
    return coh_op_is_valid(op) && len == COH_OP_BYTES + more;
}
