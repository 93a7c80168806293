/*
 * distkvm: what coherent memory costs in system calls
 *
 * To be preloaded.  Counts those that matter, and says at the end how many there
 * were.  With DISTKVM_PINNED in the environment two of three pages cannot be
 * moved, as if a device had pinned them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <dlfcn.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/socket.h>
#include "qemu/atomic.h"
#include "real-ioctl.h"

static struct {
    unsigned moves, refused, frees, wakes, sends, keeps;
} count;

int ioctl(int fd, unsigned long request, ...)
{
    void *arg;

    IOCTL_ARG(arg, request);
    if (request == UFFDIO_WAKE) {
        qatomic_inc(&count.wakes);
    } else if (request == UFFDIO_MOVE) {
        if (qatomic_fetch_inc(&count.moves) % 3 && getenv("DISTKVM_PINNED")) {
            qatomic_inc(&count.refused);
            errno = EBUSY;
            return -1;
        }
    }
    return real_ioctl(fd, request, arg);
}

int madvise(void *addr, size_t length, int advice)
{
    static int (*real)(void *addr, size_t length, int advice);

    if (advice == MADV_DONTNEED) {
        qatomic_inc(&count.frees);
    }
    if (!real) {
        real = dlsym(RTLD_NEXT, "madvise");
    }
    return real(addr, length, advice);
}

/* As UCX sends over TCP: short and long. */
ssize_t send(int fd, const void *buf, size_t length, int flags)
{
    static ssize_t (*real)(int fd, const void *buf, size_t length, int flags);

    qatomic_inc(&count.sends);
    if (!real) {
        real = dlsym(RTLD_NEXT, "send");
    }
    return real(fd, buf, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*real)(int fd, const struct msghdr *message, int flags);

    qatomic_inc(&count.sends);
    if (!real) {
        real = dlsym(RTLD_NEXT, "sendmsg");
    }
    return real(fd, message, flags);
}

/* Of other threads only: an engine's own is where it follows to. */
int sched_setaffinity(pid_t tid, size_t size, const cpu_set_t *set)
{
    static int (*real)(pid_t tid, size_t size, const cpu_set_t *set);

    if (tid && CPU_COUNT_S(size, set) == 1) {
        qatomic_inc(&count.keeps);
    }
    if (!real) {
        real = dlsym(RTLD_NEXT, "sched_setaffinity");
    }
    return real(tid, size, set);
}

static void __attribute__((destructor)) say(void)
{
    fprintf(stderr, "system calls: moves %u refused %u frees %u wakes %u"
            " sends %u keeps %u\n", count.moves, count.refused, count.frees,
            count.wakes, count.sends, count.keeps);
}
