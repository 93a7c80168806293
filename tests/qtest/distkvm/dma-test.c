/*
 * distkvm: copies of device models, as qtest makes them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "pair.h"
#include "dma-test.h"

static int64_t dma_counter(QTestState *s, const char *name)
{
    g_autoptr(QDict) info = pair_query(s);

    return qdict_get_int(qdict_get_qdict(qdict_get_qdict(info, "memory"),
                                         "dma"), name);
}

#define COPY_BYTES (8 * 4096)

static void check_bytes(QTestState *s, uint64_t at, const uint8_t *wanted)
{
    uint8_t found[COPY_BYTES];

    qtest_memread(s, at, found, sizeof(found));
    g_assert_cmpint(memcmp(found, wanted, sizeof(found)), ==, 0);
}

/* Bytes go to pages' owner, and come from it; the pages stay there. */
static void check_visits(Pair *p, uint64_t at)
{
    QTestState *owner = p->node[0], *device = p->node[1];
    uint8_t bytes[COPY_BYTES];
    int64_t owned, revoked, put, got, served;

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 7 + 1;
    }
    put = dma_counter(owner, "put-bytes");
    got = dma_counter(owner, "filled-bytes");
    qtest_memwrite(owner, at, bytes, sizeof(bytes));
    /* No node had touched them: they came. */
    g_assert_cmpint(dma_counter(owner, "put-bytes"), ==, put);
    g_assert_cmpint(dma_counter(owner, "filled-bytes"), ==, got + COPY_BYTES);
    owned = pair_counter(owner, "owned-pages");
    revoked = pair_counter(owner, "revocations");
    served = dma_counter(owner, "served-bytes");
    put = dma_counter(device, "put-bytes");
    got = dma_counter(device, "got-bytes");
    memset(bytes + 100, 0xa5, 20000);
    qtest_memwrite(device, at + 100, bytes + 100, 20000);
    check_bytes(owner, at, bytes);
    check_bytes(device, at, bytes);
    g_assert_cmpint(pair_counter(owner, "owned-pages"), ==, owned);
    g_assert_cmpint(pair_counter(owner, "revocations"), ==, revoked);
    g_assert_cmpint(dma_counter(device, "put-bytes"), ==, put + 20000);
    g_assert_cmpint(dma_counter(device, "got-bytes"), ==, got + COPY_BYTES);
    g_assert_cmpint(dma_counter(owner, "served-bytes"), ==,
                    served + 20000 + COPY_BYTES);
    /* A small access is an ordinary fault, and makes the owner a sharer. */
    g_assert_cmphex(qtest_readb(device, at + 100), ==, 0xa5);
    g_assert_cmpint(pair_counter(owner, "owned-pages"), ==, owned - 1);
    /* That page comes, as it has no owner to visit. */
    memset(bytes, 0x5a, 4096);
    qtest_memwrite(device, at, bytes, 4096);
    g_assert_cmpint(dma_counter(device, "moved-bytes"), ==, 4096);
    g_assert_cmpint(pair_counter(owner, "revocations"), ==, revoked + 1);
    check_bytes(owner, at, bytes);
    check_bytes(device, at, bytes);
}

static void test_visits(void)
{
    static const uint64_t at[] = { PAGE_OF_NODE_0, PAGE_OF_NODE_1 };

    for (int i = 0; i < ARRAY_SIZE(at); i++) {
        Pair p;

        pair_start(&p);
        check_visits(&p, at[i] + 0x100000);
        pair_end(&p);
    }
}

/* Pages that are overwritten come without their bytes; others bring them. */
static void check_fills(Pair *p, uint64_t at)
{
    QTestState *owner = p->node[0], *device = p->node[1];
    uint8_t bytes[COPY_BYTES];
    int64_t sent, filled, moved, revoked;

    memset(bytes, 0x11, sizeof(bytes));
    qtest_memwrite(owner, at, bytes, sizeof(bytes));
    sent = pair_counter(owner, "pages-sent");
    revoked = pair_counter(owner, "revocations");
    filled = dma_counter(device, "filled-bytes");
    moved = dma_counter(device, "moved-bytes");
    /* Seven whole pages, and a byte less than one. */
    memset(bytes + 1, 0x22, sizeof(bytes) - 1);
    qtest_memwrite(device, at + 1, bytes + 1, sizeof(bytes) - 1);
    g_assert_cmpint(dma_counter(device, "filled-bytes"), ==,
                    filled + 7 * 4096);
    g_assert_cmpint(dma_counter(device, "moved-bytes"), ==, moved + 4095);
    g_assert_cmpint(pair_counter(owner, "revocations"), ==, revoked + 8);
    g_assert_cmpint(pair_counter(owner, "pages-sent"), ==, sent + 1);
    check_bytes(device, at, bytes);
    check_bytes(owner, at, bytes);
}

static void test_fills(void)
{
    static const uint64_t at[] = { PAGE_OF_NODE_0, PAGE_OF_NODE_1 };

    for (int i = 0; i < ARRAY_SIZE(at); i++) {
        Pair p;

        pair_start_nodes(&p, 2, &(PairShape) {
            .accel = ",dma-policy=move",
        });
        pair_wait_map(&p);
        check_fills(&p, at[i] + 0x100000);
        pair_end(&p);
    }
}

/*
 * Ranges of any place and length around the first page of node 1, by both
 * nodes, with each policy.
 */
static void test_copies(gconstpointer options)
{
    const uint64_t at = (32ull << 20) - COPY_BYTES / 2;
    uint8_t bytes[COPY_BYTES] = { 0 };
    Pair p;

    pair_start_nodes(&p, 2, &(PairShape) { .accel = options });
    pair_wait_map(&p);
    for (int n = 0; n < 300; n++) {
        unsigned begin = g_test_rand_int_range(0, COPY_BYTES);
        unsigned len = g_test_rand_int_range(1, COPY_BYTES - begin + 1);

        memset(bytes + begin, n, len);
        qtest_memwrite(p.node[n & 1], at + begin, bytes + begin, len);
        if (!(n % 3)) {
            check_bytes(p.node[n / 3 & 1], at, bytes);
        }
    }
    check_bytes(p.node[0], at, bytes);
    check_bytes(p.node[1], at, bytes);
    pair_end(&p);
}

typedef struct Copier {
    QTestState *node;
    uint64_t at;                /* pages of the other node                  */
} Copier;

static gpointer copy_often(gpointer opaque)
{
    Copier *c = opaque;
    uint8_t bytes[COPY_BYTES];

    for (int n = 0; n < 300; n++) {
        memset(bytes, n, sizeof(bytes));
        qtest_memwrite(c->node, c->at, bytes, sizeof(bytes));
        check_bytes(c->node, c->at, bytes);
    }
    return NULL;
}

/*
 * Both main loops, each under its BQL, copy into pages of the other node: no
 * copy may wait for a main loop.
 */
static void test_copies_both(void)
{
    uint8_t bytes[COPY_BYTES] = { 0 };
    GThread *thread[2];
    Copier c[2];
    Pair p;

    pair_start(&p);
    for (int n = 0; n < 2; n++) {
        c[n].node = p.node[n];
        c[n].at = n ? PAGE_OF_NODE_0 + 0x100000 : PAGE_OF_NODE_1 + 0x100000;
        qtest_memwrite(p.node[!n], c[n].at, bytes, sizeof(bytes));
    }
    for (int n = 0; n < 2; n++) {
        thread[n] = g_thread_new("copier", copy_often, &c[n]);
    }
    for (int n = 0; n < 2; n++) {
        g_thread_join(thread[n]);
        /* Each piece went to the other node, and none of its pages came. */
        g_assert_cmpint(dma_counter(p.node[n], "put-bytes"), >=,
                        300 * COPY_BYTES);
    }
    pair_end(&p);
}

/* The pages' owner is stopped in the middle of a copy: the copy ends. */
static void test_loss_of_owner(void)
{
    const uint64_t at = PAGE_OF_NODE_1 + 0x100000;
    uint8_t bytes[COPY_BYTES];
    Pair p;

    pair_start(&p);
    memset(bytes, 0xa5, sizeof(bytes));
    qtest_memwrite(p.node[1], at, bytes, sizeof(bytes));
    g_assert_cmpint(kill(p.pid[1], SIGSTOP), ==, 0);
    /* Returns when node 1 is given up, which stays stopped. */
    qtest_memwrite(p.node[0], at, bytes, sizeof(bytes));
    pair_wait_flag(p.node[0], "failed");
    qtest_memread(p.node[0], at, bytes, sizeof(bytes));
    g_assert_cmpint(kill(p.pid[1], SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(p.pid[1], NULL, 0), ==, p.pid[1]);
    qtest_quit(p.node[0]);
    pair_remove_sockets(&p);
}

#include "fence.c.inc"

void dma_tests_add(void)
{
    qtest_add_func("/distkvm/visits", test_visits);
    qtest_add_func("/distkvm/fills", test_fills);
    qtest_add_data_func("/distkvm/copies/auto", ",dma-policy=auto",
                        test_copies);
    qtest_add_data_func("/distkvm/copies/visit", ",dma-policy=visit,lanes=2",
                        test_copies);
    qtest_add_data_func("/distkvm/copies/move", ",dma-policy=move",
                        test_copies);
    qtest_add_data_func("/distkvm/copies/faults", ",dma-policy=faults",
                        test_copies);
    qtest_add_func("/distkvm/copies/both", test_copies_both);
    qtest_add_func("/distkvm/loss-of-owner", test_loss_of_owner);
    fence_tests_add();
}
