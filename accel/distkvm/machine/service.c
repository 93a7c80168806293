/*
 * distkvm: work that needs the big lock
 *
 * Class B: interrupts, device accesses, changes of the memory map.  They wait
 * for the BQL on a thread of their own, so that neither the engine nor
 * membership ever does.  Work that pauses vCPUs runs in the main loop instead.
 * Knows nothing of the work.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "block/aio.h"
#include "accel/distkvm/node.h"
#include "service.h"

typedef struct ServiceItem {
    void (*fn)(void *opaque);
    void *opaque;
} ServiceItem;

static __thread bool is_service_thread;
static GAsyncQueue *items;
static GAsyncQueue *main_items;
static QEMUBH *main_bh;

static void *service_thread(void *unused)
{
    rcu_register_thread();
    is_service_thread = true;
    for (;;) {
        ServiceItem *item = g_async_queue_pop(items);

        bql_lock();
        do {
            item->fn(item->opaque);
            g_free(item);
        } while ((item = g_async_queue_try_pop(items)));
        bql_unlock();
    }
    return NULL;
}

static void service_main_bh(void *unused)
{
    static bool is_running;
    ServiceItem *item;

    g_assert(!is_running);
    is_running = true;
    while ((item = g_async_queue_try_pop(main_items))) {
        item->fn(item->opaque);
        g_free(item);
    }
    is_running = false;
}

void service_start(void)
{
    QemuThread thread;

    items = g_async_queue_new();
    main_items = g_async_queue_new();
    /*
     * Not the context of QEMU's bottom halves: a thread that drains a disk polls
     * that one.  An item would reset a device that a command is half done with, or
     * run on a vCPU's thread.  QEMU dispatches QMP commands here for the same
     * reason.  No item waits for another.
     */
    main_bh = aio_bh_new(iohandler_get_aio_context(), service_main_bh, NULL);
    qemu_thread_create(&thread, "distkvm-service", service_thread, NULL,
                       QEMU_THREAD_DETACHED);
}

static void push(GAsyncQueue *queue, void (*fn)(void *opaque), void *opaque)
{
    ServiceItem *item = g_new(ServiceItem, 1);

    item->fn = fn;
    item->opaque = opaque;
    g_async_queue_push(queue, item);
}

void service_queue(void (*fn)(void *opaque), void *opaque)
{
    push(items, fn, opaque);
}

bool service_is_this_thread(void)
{
    return is_service_thread;
}

void service_queue_main(void (*fn)(void *opaque), void *opaque)
{
    push(main_items, fn, opaque);
    qemu_bh_schedule(main_bh);
}
