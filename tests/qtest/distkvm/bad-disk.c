/*
 * distkvm: a disk with a part that cannot be read
 *
 * To be preloaded.  A read behind byte DISTKVM_BAD of any file, a number in the
 * environment, ends there, and one that begins there fails.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>

ssize_t pread(int fd, void *buf, size_t bytes, off_t at)
{
    static ssize_t (*real)(int fd, void *buf, size_t bytes, off_t at);
    const char *bad = getenv("DISTKVM_BAD");
    off_t good = bad ? atoll(bad) - at : bytes;

    if (good <= 0) {
        errno = EIO;
        return -1;
    }
    if (!real) {
        /* File offsets of 64 bits. */
        real = dlsym(RTLD_NEXT, "pread64");
    }
    return real(fd, buf, MIN((size_t)good, bytes), at);
}
