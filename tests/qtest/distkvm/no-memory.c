/*
 * distkvm: a host that has no memory for half of the guest's pages
 *
 * To be preloaded.  Pages in the upper half of the largest range that is
 * registered with userfaultfd find no memory, as under a limit of memory; with
 * DISTKVM_LOWER in the environment those in the lower half.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/userfaultfd.h>
#include "qemu/atomic.h"
#include "real-ioctl.h"

/* Main thread, before the engine runs. */
static uint64_t longest, half;

static void note_range(const struct uffdio_range *range)
{
    if (range->len > longest) {
        longest = range->len;
        qatomic_set(&half, range->start + range->len / 2);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    void *arg;

    IOCTL_ARG(arg, request);
    if (request == UFFDIO_REGISTER) {
        note_range(&((struct uffdio_register *)arg)->range);
    } else if (request == UFFDIO_ZEROPAGE &&
               (((struct uffdio_zeropage *)arg)->range.start <
                qatomic_read(&half)) == !!getenv("DISTKVM_LOWER")) {
        errno = ENOMEM;
        return -1;
    }
    return real_ioctl(fd, request, arg);
}
