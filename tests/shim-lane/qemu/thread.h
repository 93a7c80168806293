/*
 * QEMU's mutexes and semaphores, by GLib
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_THREAD_H
#define QEMU_THREAD_H

typedef GMutex QemuMutex;

#define qemu_mutex_init g_mutex_init
#define qemu_mutex_destroy g_mutex_clear

typedef GThread *QemuThread;

#define QEMU_THREAD_JOINABLE 0

static inline void qemu_thread_create(QemuThread *thread, const char *name,
                                      void *(*fn)(void *), void *opaque,
                                      int mode)
{
    *thread = g_thread_new(name, fn, opaque);
}

static inline void *qemu_thread_join(QemuThread *thread)
{
    return g_thread_join(*thread);
}

typedef struct QemuSemaphore {
    GMutex lock;
    GCond posted;
    unsigned count;
} QemuSemaphore;

static inline void qemu_sem_init(QemuSemaphore *sem, int count)
{
    g_mutex_init(&sem->lock);
    g_cond_init(&sem->posted);
    sem->count = count;
}

static inline void qemu_sem_destroy(QemuSemaphore *sem)
{
    g_mutex_clear(&sem->lock);
    g_cond_clear(&sem->posted);
}

static inline void qemu_sem_post(QemuSemaphore *sem)
{
    g_mutex_lock(&sem->lock);
    sem->count++;
    g_cond_signal(&sem->posted);
    g_mutex_unlock(&sem->lock);
}

/* 0, or -1 after @ms milliseconds. */
static inline int qemu_sem_timedwait(QemuSemaphore *sem, int ms)
{
    gint64 end = g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND;
    bool posted = true;

    g_mutex_lock(&sem->lock);
    while (!sem->count && posted) {
        posted = g_cond_wait_until(&sem->posted, &sem->lock, end);
    }
    posted = sem->count;
    sem->count -= posted;
    g_mutex_unlock(&sem->lock);
    return posted ? 0 : -1;
}

static inline void qemu_sem_wait(QemuSemaphore *sem)
{
    while (qemu_sem_timedwait(sem, 1000)) {
        /* Not yet. */
    }
}

#endif
