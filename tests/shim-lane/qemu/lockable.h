/*
 * QEMU's lock guards, by GLib
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_LOCKABLE_H
#define QEMU_LOCKABLE_H

#include "qemu/thread.h"

#define QEMU_LOCK_GUARD(mutex) \
    g_autoptr(GMutexLocker) lock_guard __attribute__((unused)) = \
        g_mutex_locker_new(mutex)
#define WITH_QEMU_LOCK_GUARD(mutex) \
    for (GMutex *guarded = (mutex), *once = (g_mutex_lock(guarded), guarded); \
         once; once = NULL, g_mutex_unlock(guarded))

#endif
