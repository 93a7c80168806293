/*
 * distkvm: operations on a word, or on some bytes, where their page is
 *
 * GET_PAGE with read-modify-write of the 2003 design asks for these: the page
 * stays with its owner, the operation travels.  Words are of 1, 2, 4 or 8
 * bytes, naturally aligned, in the guest's (little-endian) order; each
 * operation is one atomic access of the owner's host.  DMA gets and puts up to
 * a page of bytes: not atomic, but no aligned word of 8 bytes is torn, as a
 * driver polls words of rings.  Pure.
 * Spec: docs/protocol.rst, "Operations at the owner".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef COH_OP_H
#define COH_OP_H

#include "coh-types.h"

typedef enum {
    COH_OP_NONE,
    COH_OP_READ,
    COH_OP_WRITE,           /* the operand                                  */
    COH_OP_ADD,             /* the operand, modulo the word                 */
    COH_OP_EXCHANGE,        /* the operand for the word                     */
    COH_OP_COMPARE_SWAP,    /* the operand, if the word is as expected      */
    COH_OP_GET_BYTES,       /* bytes from the page                          */
    COH_OP_PUT_BYTES,       /* bytes into the page                          */
    COH_OP__MAX
} CohOpCode;

typedef struct CohOp {
    uint8_t code;           /* CohOpCode                                    */
    uint8_t size;           /* of a word: 1, 2, 4, 8; of bytes: 0           */
    uint16_t offset;        /* within the page, a multiple of size          */
    uint16_t length;        /* of bytes: 1 to 4096, within the page; else 0 */
    uint64_t operand;       /* in an answer: the word's old value, or       */
                            /* COH_OP_TOO_OLD                               */
    uint64_t expected;
} CohOp;

#define COH_OP_BYTES 24     /* on the wire, without bytes that it moves     */
/* Nothing was put: the guest was reset after the copy had begun. */
#define COH_OP_TOO_OLD 1

/* False for a code, size, offset or length that does not exist. */
bool coh_op_is_valid(const CohOp *op);
/* Does it move bytes, and not a word? */
bool coh_op_has_bytes(const CohOp *op);
/*
 * Bytes that follow @op in a request, and, if @answer, in the answer; 0 to
 * 4096.
 */
size_t coh_op_payload(const CohOp *op, bool answer);
bool coh_op_writes(const CohOp *op);

/*
 * Perform valid @op on the page at @page, which only threads of this host may
 * write meanwhile.  Returns the word's old value.
 */
uint64_t coh_op_perform(const CohOp *op, void *page);
/* The same, of @op that has bytes: between @page and @bytes. */
void coh_op_copy(const CohOp *op, void *page, void *bytes);

void coh_op_encode(const CohOp *op, uint8_t out[COH_OP_BYTES]);
/*
 * From @len bytes of a peer, a request or an @answer; false if that is no
 * valid operation, or not with all its bytes.  *@bytes: these, in @in; NULL if
 * there are none.
 */
bool coh_op_decode(const void *in, size_t len, bool answer, CohOp *op,
                   const void **bytes);

#endif
