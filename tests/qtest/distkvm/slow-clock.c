/*
 * distkvm: a clock that goes slowly
 *
 * To be preloaded into QEMUs that play hosts.  TCG executes so little of a host
 * in a second that a kernel there is not done with one tick before the next;
 * this makes the second longer, for all such hosts alike.  QEMU takes the TSC
 * from the processor: hosts find that it counts so much faster.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>
#include "qemu/timer.h"

#define TIMES_SLOWER 16

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t id, struct timespec *ts);
    int ret;

    if (!real) {
        real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    ret = real(id, ts);
    if (!ret && id == CLOCK_MONOTONIC) {
        int64_t ns = (ts->tv_sec * NANOSECONDS_PER_SECOND + ts->tv_nsec) /
                     TIMES_SLOWER;

        ts->tv_sec = ns / NANOSECONDS_PER_SECOND;
        ts->tv_nsec = ns % NANOSECONDS_PER_SECOND;
    }
    return ret;
}
