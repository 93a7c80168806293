/*
 * distkvm: numbers of operations, that nobody guesses
 *
 * A node does not know which node owns a page that it wants operated on, and so
 * which node will answer.  The number of an operation shows that: only the
 * nodes that were asked, the page's home and its owner, have seen it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_OP_NUMBER_H
#define DISTKVM_OP_NUMBER_H

/* Numbers that one system call takes from the host's random source. */
#define OP_NUMBERS 32

typedef struct OpNumbers {
    uint64_t number[OP_NUMBERS];
    unsigned left;              /* of these, not taken yet                  */
} OpNumbers;

/* A new one, never 0.  One thread. */
uint64_t op_number_take(OpNumbers *numbers);

#endif
