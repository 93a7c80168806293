/*
 * distkvm: buffers that are kept for bouncing
 *
 * A fresh buffer of 1 MiB costs ten times the copy that it is for: the host
 * gives and clears its pages one by one.  So a few are kept, the last one used
 * first, because its bytes may still be in the processor's caches.  After the
 * "magazine" of Bonwick's vmem (2001), with one for all threads.
 *
 * The pool knows its buffers that are in use, so a buffer may be left behind
 * when a thread that hangs may use it yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VDMA_POOL_H
#define VDMA_POOL_H

#include "qemu/thread.h"

/* Bytes of a kept buffer, and of the largest request that gets one. */
#define VDMA_POOL_BYTES (1u << 20)
/* Smaller requests, in bytes: malloc() has their memory at hand. */
#define VDMA_POOL_MIN (16u << 10)
/* Buffers that are kept while no thread uses them, at most. */
#define VDMA_POOL_KEPT 8
/* Bytes; every buffer is aligned to it, which suits O_DIRECT. */
#define VDMA_POOL_ALIGN 4096

typedef struct VdmaPool {
    QemuMutex lock;         /* for moments only; nothing is waited for      */
    unsigned n;             /* of @kept, 0 to VDMA_POOL_KEPT                */
    void *kept[VDMA_POOL_KEPT];
    GHashTable *used;       /* set of buffers of VDMA_POOL_BYTES            */
} VdmaPool;

void vdma_pool_init(VdmaPool *pool);
/* Free what is kept; no buffer may be in use. */
void vdma_pool_destroy(VdmaPool *pool);
/*
 * A buffer of at least @bytes bytes with any contents, aligned to
 * VDMA_POOL_ALIGN; NULL: the host has no memory.  Any thread, any lock.
 */
void *vdma_pool_get(VdmaPool *pool, size_t bytes);
/* It was got for @bytes bytes.  Any thread, any lock. */
void vdma_pool_put(VdmaPool *pool, void *buffer, size_t bytes);
/*
 * Is @buffer one of VDMA_POOL_BYTES that is in use?  Its user alone may ask.
 * Any thread, any lock.
 */
bool vdma_pool_has(VdmaPool *pool, const void *buffer);
/*
 * @buffer, of which vdma_pool_has() is true, will never be freed nor got again,
 * after vdma_pool_put() neither.  Any thread, any lock.
 */
void vdma_pool_leave(VdmaPool *pool, void *buffer);

#endif
