/*
 * distkvm: numbers of operations, that nobody guesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/random.h>
#include "op-number.h"

/* getentropy() gives no more at once. */
QEMU_BUILD_BUG_ON(sizeof(((OpNumbers *)NULL)->number) > 256);

static void fill(OpNumbers *numbers)
{
    /* It fails only on a kernel without getrandom(), which has no uffd-wp. */
    if (getentropy(numbers->number, sizeof(numbers->number))) {
        g_error("distkvm: no random numbers: %s", g_strerror(errno));
    }
    numbers->left = OP_NUMBERS;
}

uint64_t op_number_take(OpNumbers *numbers)
{
    uint64_t number;

    do {
        if (!numbers->left) {
            fill(numbers);
        }
        number = numbers->number[--numbers->left];
    } while (!number);
    return number;
}
