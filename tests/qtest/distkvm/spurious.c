/*
 * distkvm: futexes that wake for no reason
 *
 * To be preloaded.  futex(2) allows it at any time; on a quiet machine it is
 * too rare to be met.  Every second wait ends at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include "qemu/atomic.h"

#define ARGS 6

long syscall(long number, ...)
{
    static long (*real)(long number, ...);
    static unsigned waits;
    long arg[ARGS];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < ARGS; i++) {
        arg[i] = va_arg(ap, long);
    }
    va_end(ap);
    if (number == SYS_futex && (arg[1] & FUTEX_CMD_MASK) == FUTEX_WAIT &&
        qatomic_fetch_inc(&waits) % 2) {
        return 0;
    }
    if (!real) {
        real = dlsym(RTLD_NEXT, "syscall");
    }
    return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
