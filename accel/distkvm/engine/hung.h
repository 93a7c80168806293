/*
 * distkvm: waits for a lane end if the lane hangs
 *
 * A lane's thread may hang when a node is lost (engine_fail()).  A thread that
 * waits for it looks now and then whether that is so, because no signal can
 * come from a thread that hangs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HUNG_H
#define DISTKVM_HUNG_H

#include "qemu/atomic.h"
#include "qemu/thread.h"

/* A thread that waits looks this often, in ms. */
#define HUNG_MS 1000

/*
 * Wait for @sem.  False: *@hung (atomic) is true, and nothing was waited for
 * after that, or HUNG_MS at most.  Any thread but the lanes'.
 */
static inline bool hung_wait(QemuSemaphore *sem, const bool *hung)
{
    while (qemu_sem_timedwait(sem, HUNG_MS)) {
        if (qatomic_read(hung)) {
            return false;
        }
    }
    return true;
}

#endif
