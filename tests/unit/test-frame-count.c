/*
 * Frames of class B, counted for each pair
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/frame-count.h"

static void test_classes(void)
{
    FrameCount count = { 0 };

    for (unsigned type = WIRE_INVALID + 1; type < WIRE__MAX; type++) {
        bool class_a = type == WIRE_COH || type == WIRE_PING ||
                       type == WIRE_LATE;
        WireFrame frame = { .type = type, .from = 1 };
        uint64_t sent = count.sent[2], received = count.received[1];

        frame_count_sent(&count, 2, &frame);
        frame_count_received(&count, &frame);
        g_assert_cmpuint(count.sent[2], ==, sent + !class_a);
        g_assert_cmpuint(count.received[1], ==, received + !class_a);
    }
    g_assert_cmpuint(count.sent[2], >, 0);
    /* Nothing of other peers. */
    g_assert_cmpuint(count.sent[1] + count.received[2], ==, 0);
}

#define FRAMES 50000
#define THREADS 4

static gpointer send_many(gpointer opaque)
{
    WireFrame frame = { .type = WIRE_IRQ };

    for (int i = 0; i < FRAMES; i++) {
        frame_count_sent(opaque, 3, &frame);
    }
    return NULL;
}

static void test_threads(void)
{
    FrameCount count = { 0 };
    GThread *thread[THREADS];

    for (int i = 0; i < THREADS; i++) {
        thread[i] = g_thread_new("send", send_many, &count);
    }
    for (int i = 0; i < THREADS; i++) {
        g_thread_join(thread[i]);
    }
    g_assert_cmpuint(count.sent[3], ==, THREADS * FRAMES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame-count/classes", test_classes);
    g_test_add_func("/frame-count/threads", test_threads);
    return g_test_run();
}
