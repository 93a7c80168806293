/*
 * distkvm: the ioctl() behind one that is preloaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TEST_REAL_IOCTL_H
#define DISTKVM_TEST_REAL_IOCTL_H

#include <dlfcn.h>
#include <sys/ioctl.h>

/* The last argument of an ioctl() whose last named one is @request. */
#define IOCTL_ARG(arg, request) do {                    \
    va_list ap;                                         \
                                                        \
    va_start(ap, request);                              \
    arg = va_arg(ap, void *);                           \
    va_end(ap);                                         \
} while (0)

static inline int real_ioctl(int fd, unsigned long request, void *arg)
{
    static int (*real)(int fd, unsigned long request, void *arg);

    if (!real) {
        real = dlsym(RTLD_NEXT, "ioctl");
    }
    return real(fd, request, arg);
}

#endif
