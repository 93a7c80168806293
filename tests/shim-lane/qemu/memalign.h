/*
 * QEMU's aligned memory, by the C library
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_MEMALIGN_H
#define QEMU_MEMALIGN_H

static inline void *qemu_try_memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, (size + alignment - 1) / alignment *
                                    alignment);
}

#define qemu_vfree free

#endif
