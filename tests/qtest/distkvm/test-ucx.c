/*
 * distkvm: tests of the cookie in front of each bunch over UCX
 *
 * Two nodes in one process, which talk over shared memory.  Node 0 hears; what
 * it is told comes with a cookie that is right, damaged, or another node's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "accel/distkvm/wire/transport-ucx.h"
#include "accel/distkvm/wire/transport-ucx-env.h"

#define HEARER 0
#define SENDER 1
#define OTHER 2
/* A frame that does not come is waited for as long as this. */
#define QUIET_US (50 * 1000)
#define PATIENCE_US (20 * G_USEC_PER_SEC)

static unsigned n_heard, n_lost;
static CohNodeId heard_from;
static char heard[16];

static void got_frames(void *opaque, CohNodeId peer, const void *buf,
                       size_t len)
{
    g_assert_cmpint(len, <, sizeof(heard));
    memcpy(heard, buf, len);
    heard[len] = '\0';
    heard_from = peer;
    n_heard++;
}

static void got_lost(void *opaque, CohNodeId peer, const char *why)
{
    n_lost++;
}

static const TransportListener listener = {
    .frames = got_frames,
    .lost = got_lost,
};

static Transport *hearer, *sender;

static Cookie cookie_of(CohNodeId node)
{
    Cookie cookie;

    memset(&cookie, 0x10 + node, sizeof(cookie));
    return cookie;
}

/* @at reaches @peer at the address of @of, as @self, and shows it @shown. */
static void reach(Transport *at, CohNodeId self, CohNodeId peer, Transport *of,
                  const Cookie *shown)
{
    const Cookie expected = cookie_of(peer);
    TransportPeer to = {
        .id = peer, .self = self, .ours = &expected, .theirs = shown,
    };

    to.address = of->ops->address(of, &to.address_len);
    at->ops->connect(at, &to, &error_abort);
}

static void start(void)
{
    const Cookie unused = cookie_of(HEARER);

    hearer = transport_shm_new(&listener, NULL, &error_abort);
    sender = transport_shm_new(&listener, NULL, &error_abort);
    /* Any address will do: nothing is sent to them. */
    reach(hearer, HEARER, SENDER, sender, &unused);
    reach(hearer, HEARER, OTHER, sender, &unused);
    n_heard = n_lost = 0;
}

static void end(void)
{
    sender->ops->destroy(sender);
    hearer->ops->destroy(hearer);
}

/* Is @text heard within @us that is sent as @self with @cookie in front? */
static bool passes_within(gint64 us, CohNodeId self, const Cookie *cookie,
                          const char *text)
{
    unsigned before = n_heard;
    gint64 end = g_get_monotonic_time() + us;

    reach(sender, self, HEARER, hearer, cookie);
    sender->ops->send(sender, HEARER, text, strlen(text), NULL, 0);
    while (n_heard == before && g_get_monotonic_time() < end) {
        sender->ops->poll(sender);
        hearer->ops->poll(hearer);
    }
    return n_heard > before;
}

static bool passes(CohNodeId self, const Cookie *cookie, const char *text)
{
    return passes_within(PATIENCE_US, self, cookie, text);
}

static bool is_dropped(CohNodeId self, const Cookie *cookie, const char *text)
{
    return !passes_within(QUIET_US, self, cookie, text);
}

static void test_right(void)
{
    const Cookie right = cookie_of(SENDER), other = cookie_of(OTHER);

    start();
    g_assert_true(passes(SENDER, &right, "right"));
    g_assert_cmpstr(heard, ==, "right");
    g_assert_cmpint(heard_from, ==, SENDER);
    g_assert_true(passes(OTHER, &other, "other"));
    g_assert_cmpint(heard_from, ==, OTHER);
    end();
}

/*
 * A bunch whose cookie differs anywhere is dropped.  No node is lost for it:
 * the node that it names may not have sent it (docs/security.rst).
 */
static void test_damaged(void)
{
    const Cookie right = cookie_of(SENDER);

    start();
    g_assert_true(passes(SENDER, &right, "first"));
    for (size_t i = 0; i < COOKIE_BYTES; i++) {
        Cookie wrong = right;

        wrong.bytes[i] ^= 1 << (i % 8);
        g_assert_true(is_dropped(SENDER, &wrong, "wrong"));
    }
    g_assert_cmpint(n_lost, ==, 0);
    g_assert_true(passes(SENDER, &right, "right"));
    g_assert_cmpstr(heard, ==, "right");
    end();
}

/* A node's cookie is no other node's, and no node's that is not reached. */
static void test_another_node(void)
{
    const Cookie right = cookie_of(SENDER), none = { { 0 } };

    start();
    g_assert_true(passes(SENDER, &right, "first"));
    g_assert_true(is_dropped(OTHER, &right, "as another"));
    g_assert_true(is_dropped(OTHER + 1, &right, "as nobody"));
    g_assert_true(is_dropped(OTHER + 1, &none, "as nobody"));
    g_assert_true(is_dropped(COH_NODES_MAX + SENDER, &right, "as none"));
    g_assert_cmpint(n_lost, ==, 0);
    g_assert_true(passes(SENDER, &right, "right"));
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    transport_ucx_prepare(NULL, &error_abort);
    g_test_add_func("/ucx/right", test_right);
    g_test_add_func("/ucx/damaged", test_damaged);
    g_test_add_func("/ucx/another-node", test_another_node);
    return g_test_run();
}
