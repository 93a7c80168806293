/*
 * distkvm: a host that was suspended
 *
 * To be preloaded into a node.  Once the file that DISTKVM_SUSPENDED names is
 * there, CLOCK_BOOTTIME is a minute ahead, as after a suspension of a minute,
 * and CLOCK_MONOTONIC is not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>

#define SUSPENDED_S 60

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t id, struct timespec *ts);
    const char *file = getenv("DISTKVM_SUSPENDED");
    int ret;

    if (!real) {
        real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    ret = real(id, ts);
    if (!ret && id == CLOCK_BOOTTIME && file && !access(file, F_OK)) {
        ts->tv_sec += SUSPENDED_S;
    }
    return ret;
}
