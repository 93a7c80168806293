/*
 * distkvm: a KVM that does not know how to set the TSC, as before Linux 5.16
 *
 * To be preloaded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "real-ioctl.h"

int ioctl(int fd, unsigned long request, ...)
{
    void *arg;

    IOCTL_ARG(arg, request);
    if (request == KVM_GET_DEVICE_ATTR || request == KVM_SET_DEVICE_ATTR) {
        errno = ENXIO;
        return -1;
    }
    return real_ioctl(fd, request, arg);
}
