/*
 * distkvm: operations on a word where its page is
 *
 * GET_PAGE with read-modify-write of the 2003 design asks for these: the page
 * stays with its owner, the operation travels.  Words are of 1, 2, 4 or 8
 * bytes, naturally aligned, in the guest's (little-endian) order; each
 * operation is one atomic access of the owner's host.  Pure.
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
    COH_OP__MAX
} CohOpCode;

typedef struct CohOp {
    uint8_t code;           /* CohOpCode                                    */
    uint8_t size;           /* 1, 2, 4, 8                                   */
    uint16_t offset;        /* within the page, a multiple of size          */
    uint64_t operand;       /* in an answer: the word's old value           */
    uint64_t expected;
} CohOp;

#define COH_OP_BYTES 24     /* on the wire                                  */

/* False for a code, size or offset that does not exist. */
bool coh_op_is_valid(const CohOp *op);
bool coh_op_writes(const CohOp *op);

/*
 * Perform valid @op on the page at @page, which only threads of this host may
 * write meanwhile.  Returns the word's old value.
 */
uint64_t coh_op_perform(const CohOp *op, void *page);

void coh_op_encode(const CohOp *op, uint8_t out[COH_OP_BYTES]);
/* From @len bytes of a peer; false if that is no valid operation. */
bool coh_op_decode(const void *in, size_t len, CohOp *op);

#endif
