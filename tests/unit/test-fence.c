/*
 * Interrupts that move to another node do not overtake older ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/machine/fence.h"

static Fence *f;
static GString *said;

static void ask(CohNodeId to, uint64_t count)
{
    g_string_append_printf(said, "ask%u:%d ", to, (int)count);
}

static void answer(CohNodeId to, uint64_t count)
{
    g_string_append_printf(said, "answer%u:%d ", to, (int)count);
}

/* A frame of @v to node @to. */
static void leave(FenceVector *v, CohNodeId to)
{
    fence_sent(f, to);
    fence_vector_left(v, to);
}

/* The target's address is the node. */
static void deliver(FenceVector *v, const FenceMessage *message)
{
    g_string_append_printf(said, "send%d:%d ", (int)message->target_addr,
                           (int)message->data);
    leave(v, message->target_addr);
}

static const FenceOps ops = { ask, answer, deliver };

static void check_said(const char *wanted)
{
    g_assert_cmpstr(said->str, ==, wanted);
    g_string_truncate(said, 0);
}

static FenceMessage message_to(CohNodeId to, uint32_t data)
{
    return (FenceMessage) {
        .addr = to, .data = data, .target_addr = to, .target_data = data,
    };
}

static void held_have_left(void *opaque, const FenceVector *v)
{
    CohNodeId n;

    g_string_append(said, opaque);
    COH_SET_FOREACH(n, &v->to) {
        g_string_append_printf(said, "%u", n);
    }
    g_string_append_c(said, ' ');
}

static void have_served(void *text)
{
    g_string_append(said, text);
}

/* It leaves at once, or is held. */
static bool trigger(FenceVector *v, CohNodeId to, uint32_t data)
{
    FenceMessage m = message_to(to, data);
    bool now = fence_vector_may_send(f, v, &m);

    if (now) {
        leave(v, to);
    }
    return now;
}

static void start(void)
{
    g_free(f);
    f = fence_new(&ops);
    said = said ?: g_string_new(NULL);
    g_string_truncate(said, 0);
}

static void test_usual(void)
{
    FenceVector v = { 0 }, w = { 0 };

    start();
    for (int i = 0; i < 5; i++) {
        g_assert_true(trigger(&v, 1, 0x30));
        g_assert_true(trigger(&w, 2, 0x31));
    }
    check_said("");
    g_assert_cmpint(fence_count_sent(f, 1), ==, 5);
}

/* To another node, to another vector of the same one, and back. */
static void test_moves(void)
{
    FenceVector v = { 0 };

    start();
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_false(trigger(&v, 2, 0x30));
    check_said("ask1:1 ");
    g_assert_null(fence_answered(f, 1, 1));
    check_said("send2:48 ");
    g_assert_true(trigger(&v, 2, 0x30));
    g_assert_false(trigger(&v, 2, 0x31));
    check_said("ask2:2 ");
    g_assert_null(fence_answered(f, 2, 2));
    check_said("send2:49 ");
    /* Node 1 has nothing that is not known to be served. */
    g_assert_false(trigger(&v, 1, 0x30));
    g_assert_null(fence_answered(f, 2, 3));
    check_said("ask2:3 send1:48 ");
}

/* Each node and message in order; equal ones in a row are one. */
static void test_held(void)
{
    FenceVector v = { 0 };

    start();
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_false(trigger(&v, 3, 0x33));
    g_assert_false(trigger(&v, 2, 0x30));
    check_said("ask1:1 ");
    g_assert_null(fence_answered(f, 1, 1));
    /* The next one waits for node 2, and the last one for node 3. */
    check_said("send2:48 ask2:1 ");
    g_assert_false(trigger(&v, 1, 0x30));
    g_assert_null(fence_answered(f, 2, 1));
    check_said("send3:51 ask3:1 ");
    g_assert_null(fence_answered(f, 3, 1));
    check_said("send2:48 ask2:2 ");
    g_assert_null(fence_answered(f, 2, 2));
    check_said("send1:48 ");
    g_assert_true(trigger(&v, 1, 0x30));
}

/* Frames of others are counted, and an answer about them is enough. */
static void test_others(void)
{
    FenceVector v = { 0 }, w = { 0 };

    start();
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_true(trigger(&w, 1, 0x31));
    fence_sent(f, 1);
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_false(trigger(&w, 2, 0x31));
    /* One question for both. */
    check_said("ask1:3 ");
    g_assert_null(fence_answered(f, 1, 3));
    check_said("send2:48 send2:49 ");
}

static void count_up(void *opaque)
{
    ++*(int *)opaque;
}

static void test_then(void)
{
    CohNodeSet nodes = coh_set_one(1);
    int done = 0;

    start();
    coh_set_add(&nodes, 2);
    fence_then(f, &nodes, count_up, &done);
    g_assert_cmpint(done, ==, 1);
    fence_sent(f, 1);
    fence_sent(f, 2);
    fence_sent(f, 3);
    fence_then(f, &nodes, count_up, &done);
    check_said("ask1:1 ask2:1 ");
    fence_sent(f, 1);
    g_assert_null(fence_answered(f, 2, 1));
    g_assert_cmpint(done, ==, 1);
    g_assert_null(fence_answered(f, 1, 1));
    /* The later frame is none of its concern. */
    g_assert_cmpint(done, ==, 2);
}

static void test_answers(void)
{
    start();
    fence_asked(f, 1, 2);
    fence_served(f, 1);
    fence_served(f, 2);
    check_said("");
    fence_served(f, 1);
    check_said("answer1:2 ");
    fence_asked(f, 1, 1);
    check_said("answer1:1 ");
    fence_asked(f, 1, 3);
    fence_asked(f, 1, 4);
    fence_served(f, 1);
    check_said("");
    fence_served(f, 1);
    check_said("answer1:4 ");
    g_assert_cmpint(fence_count_served(f, 1), ==, 4);
}

/* Before it was asked, more than that, or again. */
static void test_wrong_answers(void)
{
    FenceVector v = { 0 };

    start();
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_nonnull(fence_answered(f, 1, 1));
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_nonnull(fence_answered(f, 1, 0));
    g_assert_nonnull(fence_answered(f, 1, 2));
    g_assert_nonnull(fence_answered(f, 2, 1));
    g_assert_null(fence_answered(f, 1, 1));
    g_assert_nonnull(fence_answered(f, 1, 1));
    check_said("ask1:1 send2:48 ");
}

/* A read waits for what was held when it came, and for nothing later. */
static void test_held_then(void)
{
    FenceVector v = { 0 };
    char early[] = "early", read[] = "read", end[] = "end";

    start();
    g_assert_false(fence_vector_then(&v, held_have_left, early));
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_false(fence_vector_then(&v, held_have_left, early));
    g_assert_false(trigger(&v, 2, 0x31));
    check_said("ask1:1 ");
    g_assert_true(fence_vector_then(&v, held_have_left, read));
    /* Equal to the one before, but behind the read. */
    g_assert_false(trigger(&v, 2, 0x31));
    g_assert_false(trigger(&v, 3, 0x32));
    g_assert_null(fence_answered(f, 1, 1));
    check_said("send2:49 read2 send2:49 ask2:2 ");
    g_assert_true(fence_vector_then(&v, held_have_left, end));
    fence_vector_clear(f, &v);
    check_said("end ");
}

/* The entries that QEMU's IOMMU takes for these messages. */
static void test_remapped(void)
{
    g_assert_cmpint(fence_remapped_vector(0xfee00000, 0x41), ==, -1);
    g_assert_cmpint(fence_remapped_vector(0xfee01000, 0x42), ==, -1);
    g_assert_cmpint(fence_remapped_vector(0xfee00010, 7), ==, 0);
    g_assert_cmpint(fence_remapped_vector(0xfee01010, 7), ==, 0x80);
    g_assert_cmpint(fence_remapped_vector(0xfee00038, 0), ==, 1);
    g_assert_cmpint(fence_remapped_vector(0xfee00038, 0x10002), ==, 3);
    g_assert_cmpint(fence_remapped_vector(0xfeefffff, 0), ==, 0xffff);
    g_assert_cmpint(fence_remapped_vector(0xfeefffff, 2), ==, 1);
}

/* A device that goes sends nothing later. */
static void test_clear(void)
{
    FenceVector v = { 0 }, w = { 0 };

    start();
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_true(trigger(&w, 1, 0x31));
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_false(trigger(&w, 2, 0x31));
    fence_vector_clear(f, &v);
    /* The next device there has nothing of it. */
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_false(trigger(&v, 2, 0x30));
    g_assert_null(fence_answered(f, 1, 2));
    check_said("ask1:2 ask1:3 send2:49 ");
    g_assert_null(fence_answered(f, 1, 3));
    check_said("send2:48 ");
}

/* The message of @ends is a write that ends both, and frees them. */
static FenceVector *ends, *beside;

/* One that is forgotten while it is idle is not missed. */
static void test_idle(void)
{
    FenceVector v = { 0 };

    start();
    g_assert_true(fence_vector_is_idle(f, &v));
    g_assert_true(trigger(&v, 1, 0x30));
    g_assert_false(fence_vector_is_idle(f, &v));
    g_assert_false(trigger(&v, 2, 0x30));
    check_said("ask1:1 ");
    g_assert_false(fence_vector_is_idle(f, &v));
    g_assert_null(fence_answered(f, 1, 1));
    check_said("send2:48 ");
    g_assert_false(fence_vector_is_idle(f, &v));
    g_assert_false(trigger(&v, 1, 0x30));
    check_said("ask2:1 ");
    g_assert_true(fence_vector_then(&v, held_have_left, (char *)"then"));
    g_assert_null(fence_answered(f, 2, 1));
    check_said("send1:48 then1 ");
    fence_then(f, &v.to, have_served, (char *)"served ");
    check_said("ask1:2 ");
    g_assert_false(fence_vector_is_idle(f, &v));
    g_assert_null(fence_answered(f, 1, 2));
    check_said("served ");
    g_assert_true(fence_vector_is_idle(f, &v));
    fence_vector_clear(f, &v);
    g_assert_true(trigger(&v, 2, 0x30));
    check_said("");
}

static void end_vector(FenceVector **v)
{
    fence_vector_clear(f, *v);
    memset(*v, 0x5a, sizeof(**v));
    g_free(*v);
    *v = NULL;
}

static void deliver_and_end(FenceVector *v, const FenceMessage *message)
{
    deliver(v, message);
    g_assert_true(v == ends);
    end_vector(&ends);
    end_vector(&beside);
}

/* One answer releases two vectors, and the first one's message ends both. */
static void test_clear_in_deliver(void)
{
    static const FenceOps ending = { ask, answer, deliver_and_end };

    start();
    g_free(f);
    f = fence_new(&ending);
    ends = g_new0(FenceVector, 1);
    beside = g_new0(FenceVector, 1);
    g_assert_true(trigger(ends, 1, 0x30));
    g_assert_true(trigger(beside, 1, 0x31));
    g_assert_false(trigger(ends, 2, 0x30));
    g_assert_false(trigger(beside, 2, 0x31));
    g_assert_false(trigger(ends, 2, 0x32));
    g_assert_null(fence_answered(f, 1, 2));
    check_said("ask1:2 send2:48 ");
}

#define NODES 4
#define VECTORS 3

/* A frame under way: its vector, and its place among the vector's. */
typedef struct Flight {
    int vector, place;
} Flight;

static struct {
    GQueue link[NODES];         /* Flight, to each node                     */
    GQueue questions[NODES];    /* counts, to each node                     */
    GQueue answers[NODES];      /* counts, back from it                     */
    uint64_t arrived[NODES];
    int left[VECTORS];          /* frames of the vector that have left      */
    int under_way[VECTORS][NODES];
} world;

static void fly(FenceVector *v, CohNodeId to)
{
    int n = GPOINTER_TO_INT(v->owner);
    Flight *flight = g_new(Flight, 1);

    /* No older frame of this vector is under way to another node. */
    for (CohNodeId other = 0; other < NODES; other++) {
        g_assert_true(other == to || !world.under_way[n][other]);
    }
    world.under_way[n][to]++;
    *flight = (Flight) { n, world.left[n]++ };
    g_queue_push_tail(&world.link[to], flight);
    leave(v, to);
}

static void world_ask(CohNodeId to, uint64_t count)
{
    g_queue_push_tail(&world.questions[to], g_memdup2(&count, sizeof(count)));
}

static void world_deliver(FenceVector *v, const FenceMessage *message)
{
    fly(v, message->target_addr);
}

/* One step of node @n: serve a frame, or answer, or its answer arrives. */
static void node_step(CohNodeId n)
{
    Flight *flight;
    uint64_t *count;

    switch (g_test_rand_int_range(0, 3)) {
    case 0:
        flight = g_queue_pop_head(&world.link[n]);
        if (flight) {
            world.arrived[n]++;
            world.under_way[flight->vector][n]--;
            g_free(flight);
        }
        break;
    case 1:
        count = g_queue_peek_head(&world.questions[n]);
        if (count && *count <= world.arrived[n]) {
            g_queue_push_tail(&world.answers[n],
                              g_queue_pop_head(&world.questions[n]));
        }
        break;
    case 2:
        count = g_queue_pop_head(&world.answers[n]);
        if (count) {
            g_assert_null(fence_answered(f, n, *count));
            g_free(count);
        }
        break;
    }
}

/* Vectors that move at random, over links that are slow at random. */
static void test_random(void)
{
    static const FenceOps world_ops = { world_ask, NULL, world_deliver };
    static FenceVector v[VECTORS];
    CohNodeId at[VECTORS] = { 1, 1, 1 };

    for (int i = 0; i < VECTORS; i++) {
        v[i].owner = GINT_TO_POINTER(i);
    }
    f = fence_new(&world_ops);
    for (int step = 0; step < 200000; step++) {
        int i = g_test_rand_int_range(0, VECTORS);

        if (fence_vector_is_idle(f, &v[i])) {
            /* As if it were forgotten. */
            fence_vector_clear(f, &v[i]);
        }
        if (step < 100000 && g_test_rand_bit()) {
            FenceMessage m;

            at[i] = g_test_rand_int_range(0, 8) ? at[i]
                    : g_test_rand_int_range(1, NODES);
            m = message_to(at[i], 0x30 + i);
            if (fence_vector_may_send(f, &v[i], &m)) {
                fly(&v[i], at[i]);
            }
        } else {
            node_step(g_test_rand_int_range(1, NODES));
        }
    }
    /* Nothing is kept for ever. */
    for (int i = 0; i < VECTORS; i++) {
        g_assert_true(g_queue_is_empty(&v[i].held));
        g_assert_cmpint(world.left[i], >, 1000);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/usual", test_usual);
    g_test_add_func("/fence/moves", test_moves);
    g_test_add_func("/fence/held", test_held);
    g_test_add_func("/fence/held-then", test_held_then);
    g_test_add_func("/fence/others", test_others);
    g_test_add_func("/fence/then", test_then);
    g_test_add_func("/fence/answers", test_answers);
    g_test_add_func("/fence/wrong-answers", test_wrong_answers);
    g_test_add_func("/fence/idle", test_idle);
    g_test_add_func("/fence/clear", test_clear);
    g_test_add_func("/fence/clear-in-deliver", test_clear_in_deliver);
    g_test_add_func("/fence/remapped", test_remapped);
    g_test_add_func("/fence/random", test_random);
    return g_test_run();
}
