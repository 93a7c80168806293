/*
 * distkvm: tests of frames and their services
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/dispatch.h"

typedef struct Work {
    void (*fn)(void *opaque);
    void *opaque;
} Work;

static GQueue work = G_QUEUE_INIT;
static unsigned expelled, served, checked;
static char *reason;
static const char *refusal_of_check, *refusal_of_serve;
static WireFrame seen;
static char *seen_payload;

static void queue(void (*fn)(void *opaque), void *opaque)
{
    Work *w = g_new(Work, 1);

    w->fn = fn;
    w->opaque = opaque;
    g_queue_push_tail(&work, w);
}

static void run_queue(void)
{
    Work *w;

    while ((w = g_queue_pop_head(&work))) {
        w->fn(w->opaque);
        g_free(w);
    }
}

static void expel(CohNodeId peer, const char *why)
{
    g_assert_cmpint(peer, ==, 3);
    expelled++;
    g_free(reason);
    reason = g_strdup(why);
}

static const char *check(const WireFrame *frame)
{
    g_assert_cmpint(frame->from, ==, 3);
    checked++;
    return refusal_of_check;
}

static const char *serve(const WireFrame *frame)
{
    served++;
    seen = *frame;
    g_free(seen_payload);
    seen_payload = g_strndup(frame->payload, frame->len);
    return refusal_of_serve;
}

static const DispatchHost host = { .queue = queue, .expel = expel };
static const FrameService now = {
    .name = "now", .context = FRAME_NOW, .check = check, .serve = serve,
};
static const FrameService later = {
    .name = "later", .context = FRAME_BQL, .check = check, .serve = serve,
};

static void begin(void)
{
    dispatch_start(&host);
    dispatch_register(WIRE_IRQ, &later);
    dispatch_register(WIRE_TOKEN, &now);
    expelled = served = checked = 0;
    refusal_of_check = refusal_of_serve = NULL;
}

static bool give(uint8_t type)
{
    char payload[] = "payload";
    const WireFrame frame = {
        .type = type, .sub = 2, .from = 3, .len = strlen(payload),
        .payload = payload,
    };
    bool right = dispatch_frame(&frame);

    /* The transport's buffer has other frames by the time it is served. */
    memset(payload, 'x', sizeof(payload));
    return right;
}

static void test_contexts(void)
{
    begin();
    g_assert_true(give(WIRE_TOKEN));
    g_assert_cmpint(served, ==, 1);
    g_assert_true(give(WIRE_IRQ));
    g_assert_cmpint(checked, ==, 2);
    g_assert_cmpint(served, ==, 1);
    run_queue();
    g_assert_cmpint(served, ==, 2);
    g_assert_cmpint(seen.type, ==, WIRE_IRQ);
    g_assert_cmpstr(seen_payload, ==, "payload");
    g_assert_cmpint(expelled, ==, 0);
}

static void test_order(void)
{
    begin();
    for (unsigned sub = 1; sub <= 5; sub++) {
        const WireFrame frame = { .type = WIRE_IRQ, .sub = sub, .from = 3 };

        dispatch_frame(&frame);
    }
    for (unsigned sub = 1; sub <= 5; sub++) {
        Work *w = g_queue_pop_head(&work);

        w->fn(w->opaque);
        g_free(w);
        g_assert_cmpint(seen.sub, ==, sub);
    }
}

/* A frame that check() refuses is not served, and said once. */
static void test_check(void)
{
    static const uint8_t types[] = { WIRE_IRQ, WIRE_TOKEN };

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        begin();
        refusal_of_check = "nonsense";
        g_assert_false(give(types[i]));
        run_queue();
        g_assert_cmpint(served, ==, 0);
        g_assert_cmpint(expelled, ==, 1);
        g_assert_nonnull(strstr(reason, "it sent nonsense ("));
        g_assert_nonnull(strstr(reason, "kind 2"));
    }
}

/* A frame that serve() refuses, on either thread, expels alike. */
static void test_serve(void)
{
    begin();
    refusal_of_serve = "nonsense";
    g_assert_false(give(WIRE_TOKEN));
    g_assert_cmpint(expelled, ==, 1);
    g_assert_cmpstr(reason, ==, "it sent nonsense (now, kind 2)");
    g_assert_true(give(WIRE_IRQ));
    g_assert_cmpint(expelled, ==, 1);
    run_queue();
    g_assert_cmpint(expelled, ==, 2);
    g_assert_cmpstr(reason, ==, "it sent nonsense (later, kind 2)");
}

static void test_no_service(void)
{
    begin();
    g_assert_false(give(WIRE_IO));
    g_assert_cmpint(expelled, ==, 1);
    g_assert_cmpint(served, ==, 0);
}

static void test_no_check(void)
{
    static const FrameService trusting = {
        .name = "trusting", .context = FRAME_NOW, .serve = serve,
    };

    begin();
    dispatch_register(WIRE_EOI, &trusting);
    g_assert_true(give(WIRE_EOI));
    g_assert_cmpint(served, ==, 1);
}

/* A type without a rule, and a type that is taken. */
static void test_wrong(void)
{
    if (g_test_subprocess()) {
        begin();
        dispatch_register(WIRE_INVALID, &now);
        exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*rules_know_frame*");
}

static void test_taken(void)
{
    if (g_test_subprocess()) {
        begin();
        dispatch_register(WIRE_IRQ, &now);
        exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*!services*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dispatch/contexts", test_contexts);
    g_test_add_func("/dispatch/order", test_order);
    g_test_add_func("/dispatch/check", test_check);
    g_test_add_func("/dispatch/serve", test_serve);
    g_test_add_func("/dispatch/no-service", test_no_service);
    g_test_add_func("/dispatch/no-check", test_no_check);
    g_test_add_func("/dispatch/no-rule", test_wrong);
    g_test_add_func("/dispatch/taken", test_taken);
    return g_test_run();
}
