/*
 * distkvm: tests of work in the main loop
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "accel/distkvm/machine/service.h"

static GString *order;

static void note(void *what)
{
    g_string_append_printf(order, "%s ", (const char *)what);
}

/* As the reset of a device whose disk it drains; news comes meanwhile. */
static void drain(void *unused)
{
    service_queue_main(note, (void *)"released");
    note((void *)"begin");
    while (aio_poll(qemu_get_aio_context(), false)) {
        /* Until there is nothing more to do. */
    }
    note((void *)"end");
}

/* A command, or a vCPU's thread, that drains a disk runs no item. */
static void test_drain(void)
{
    service_queue_main(note, (void *)"item");
    while (aio_poll(qemu_get_aio_context(), false)) {
        /* Until there is nothing more to do. */
    }
    g_assert_cmpstr(order->str, ==, "");
    aio_poll(iohandler_get_aio_context(), true);
    g_assert_cmpstr(order->str, ==, "item ");
    g_string_truncate(order, 0);
}

/* Work that is queued during an item begins when that has ended. */
static void test_nested(void)
{
    service_queue_main(drain, NULL);
    service_queue_main(note, (void *)"next");
    while (!strstr(order->str, "next") || !strstr(order->str, "released")) {
        aio_poll(iohandler_get_aio_context(), true);
    }
    g_assert_cmpstr(order->str, ==, "begin end next released ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qemu_init_main_loop(&error_abort);
    service_start();
    order = g_string_new(NULL);
    g_test_add_func("/service/drain", test_drain);
    g_test_add_func("/service/nested", test_nested);
    return g_test_run();
}
