/*
 * distkvm: buffers that are kept for bouncing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "vdma-pool.h"

void vdma_pool_init(VdmaPool *pool)
{
    qemu_mutex_init(&pool->lock);
    pool->n = 0;
    pool->used = g_hash_table_new(NULL, NULL);
}

void vdma_pool_destroy(VdmaPool *pool)
{
    while (pool->n) {
        qemu_vfree(pool->kept[--pool->n]);
    }
    g_hash_table_unref(pool->used);
    qemu_mutex_destroy(&pool->lock);
}

static bool is_kept_size(size_t bytes)
{
    return bytes >= VDMA_POOL_MIN && bytes <= VDMA_POOL_BYTES;
}

/* NULL: none is kept. */
static void *take_kept(VdmaPool *pool)
{
    QEMU_LOCK_GUARD(&pool->lock);
    return pool->n ? pool->kept[--pool->n] : NULL;
}

static void use(VdmaPool *pool, void *buffer)
{
    QEMU_LOCK_GUARD(&pool->lock);
    g_hash_table_add(pool->used, buffer);
}

bool vdma_pool_has(VdmaPool *pool, const void *buffer)
{
    QEMU_LOCK_GUARD(&pool->lock);
    return g_hash_table_contains(pool->used, buffer);
}

void vdma_pool_leave(VdmaPool *pool, void *buffer)
{
    QEMU_LOCK_GUARD(&pool->lock);
    g_hash_table_remove(pool->used, buffer);
}

/* True: @buffer is not to be freed, as it is kept, or was left behind. */
static bool keep(VdmaPool *pool, void *buffer)
{
    QEMU_LOCK_GUARD(&pool->lock);
    if (!g_hash_table_remove(pool->used, buffer)) {
        return true;
    }
    if (pool->n == VDMA_POOL_KEPT) {
        return false;
    }
    pool->kept[pool->n++] = buffer;
    return true;
}

void *vdma_pool_get(VdmaPool *pool, size_t bytes)
{
    void *buffer;

    if (!is_kept_size(bytes)) {
        return qemu_try_memalign(VDMA_POOL_ALIGN,
                                 MAX(bytes, VDMA_POOL_ALIGN));
    }
    buffer = take_kept(pool) ?: qemu_try_memalign(VDMA_POOL_ALIGN,
                                                  VDMA_POOL_BYTES);
    if (buffer) {
        use(pool, buffer);
    }
    return buffer;
}

void vdma_pool_put(VdmaPool *pool, void *buffer, size_t bytes)
{
    if (!is_kept_size(bytes) || !keep(pool, buffer)) {
        qemu_vfree(buffer);
    }
}
