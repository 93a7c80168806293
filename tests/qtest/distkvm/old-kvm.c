/*
 * distkvm: a KVM that does not know how to set the TSC, as before Linux 5.16
 *
 * To be preloaded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int fd, unsigned long request, void *arg);
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (request == KVM_GET_DEVICE_ATTR || request == KVM_SET_DEVICE_ATTR) {
        errno = ENXIO;
        return -1;
    }
    if (!real) {
        real = dlsym(RTLD_NEXT, "ioctl");
    }
    return real(fd, request, arg);
}
