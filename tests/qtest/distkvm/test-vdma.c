/*
 * distkvm: tests of a device model's copies, without engine and machine
 *
 * QEMU's own iov_from_buf() calls the hook of hw/vdma-cluster, which calls
 * distkvm_copy().  The engine below them stands here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/module.h"
#include "qemu/notify.h"
#include "system/distkvm.h"
#include "system/distkvm-dma.h"
#include "system/system.h"
#include "accel/distkvm/node.h"

#define PAGES 4
#define BYTES (PAGES * COH_PAGE_SIZE)

/* Its first pages are owned, absent, shared and absent. */
static uint8_t guest[BYTES] __attribute__((aligned(COH_PAGE_SIZE)));
static const uint8_t state[PAGES] = {
    COH_PEER_M, COH_PEER_I, COH_PEER_S, COH_PEER_I,
};
static int result;              /* of the engine                            */
static EngineSpan asked[PAGES];
static unsigned n_asked;
static Notifier *machine_done;

/* ----------------------------------------------------------- the engine */

bool engine_find(Engine *e, const void *host, uint64_t *addr)
{
    *addr = (const uint8_t *)host - guest;
    return *addr < sizeof(guest);
}

bool engine_has(Engine *e, CohPage page, bool write)
{
    return state[page] == COH_PEER_M || (state[page] == COH_PEER_S && !write);
}

void *engine_host(Engine *e, CohPage page)
{
    return guest + page * COH_PAGE_SIZE;
}

int engine_copy(Engine *e, EngineSpan *span, unsigned n, bool put)
{
    g_assert_cmpint(n, <=, PAGES);
    memcpy(asked, span, n * sizeof(*span));
    n_asked = n;
    return result;
}

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    g_assert_not_reached();
}

/* ---------------------------------------------------------- the machine */

bool distkvm_enabled(void)
{
    return true;
}

/* Of the stub's file, which has a stub of distkvm_bounce(), too. */
bool distkvm_object_fits(Object *obj, Error **errp)
{
    return true;
}

void qemu_add_machine_init_done_notifier(Notifier *notifier)
{
    machine_done = notifier;
}

/* ---------------------------------------------------------------- tests */

/* All pages, in pieces that are no pages. */
static size_t copy(uint8_t *buffer, bool put)
{
    const struct iovec iov[] = {
        { .iov_base = guest, .iov_len = 5000 },
        { .iov_base = guest + 5000, .iov_len = BYTES - 5000 },
    };

    n_asked = 0;
    return put ? iov_from_buf(iov, ARRAY_SIZE(iov), 0, buffer, BYTES)
               : iov_to_buf(iov, ARRAY_SIZE(iov), 0, buffer, BYTES);
}

static void check_page(const uint8_t *bytes, unsigned page, uint8_t wanted)
{
    for (unsigned i = 0; i < COH_PAGE_SIZE; i++) {
        g_assert_cmphex(bytes[page * COH_PAGE_SIZE + i], ==, wanted);
    }
}

/*
 * The guest was reset meanwhile, says a node: bytes of absent pages are not
 * copied any more, by the caller neither.  All others are.
 */
static void test_reset(void)
{
    g_autofree uint8_t *buffer = g_malloc(BYTES);

    result = -ECANCELED;
    memset(guest, 1, BYTES);
    memset(buffer, 2, BYTES);
    g_assert_cmpint(copy(buffer, true), ==, BYTES);
    g_assert_cmpint(n_asked, ==, 3);
    g_assert_true(asked[1].move);
    check_page(guest, 0, 2);
    check_page(guest, 1, 1);
    check_page(guest, 2, 2);
    check_page(guest, 3, 1);
    memset(buffer, 3, BYTES);
    g_assert_cmpint(copy(buffer, false), ==, BYTES);
    g_assert_cmpint(n_asked, ==, 2);
    check_page(buffer, 0, 2);
    check_page(buffer, 1, 3);
    check_page(buffer, 2, 2);
    check_page(buffer, 3, 3);
}

/* The caller's own copy meets faults, which say what they must. */
static void test_loss(void)
{
    g_autofree uint8_t *buffer = g_malloc(BYTES);

    result = -EIO;
    memset(guest, 1, BYTES);
    memset(buffer, 2, BYTES);
    g_assert_cmpint(copy(buffer, true), ==, BYTES);
    g_assert_false(asked[0].stays);
    check_page(guest, 1, 2);
    check_page(guest, 3, 2);
}

/* A kept buffer needs no second one, and is left behind if a lane has it. */
static void test_kept(void)
{
    DistkvmBounce bounce = { 0 }, next = { 0 };
    uint8_t *left = distkvm_bounce(&bounce, BYTES);

    result = 0;
    memset(left, 3, BYTES);
    copy(left, true);
    g_assert_cmpint(n_asked, ==, 3);
    for (unsigned i = 0; i < n_asked; i++) {
        g_assert_true(asked[i].stays);
    }
    distkvm_bounce_free(&bounce);
    g_assert_true(distkvm_bounce(&bounce, BYTES) == left);
    result = -EIO;
    copy(left, true);
    distkvm_bounce_free(&bounce);
    g_assert_true(distkvm_bounce(&next, BYTES) != left);
    distkvm_bounce_free(&next);
    left[0] = 1;
}

/* No other node has a vCPU: whole pages that are put come, and bring no bytes. */
static void test_fill(void)
{
    static CohNodeId here[] = { 0, 0 };
    g_autofree uint8_t *buffer = g_malloc(BYTES);
    CohNodeId *two_nodes = distkvm->cpus.place;
    DistkvmSpan part = {
        .way = DISTKVM_COPY_FILL, .length = 9, .buffer = buffer,
    };

    result = 0;
    distkvm->cpus.place = here;
    memset(guest, 1, BYTES);
    memset(buffer, 2, BYTES);
    copy(buffer, true);
    g_assert_cmpint(n_asked, ==, 3);
    g_assert_true(asked[0].fill && asked[2].fill && asked[1].move);
    /* The engine's to do. */
    check_page(guest, 1, 1);
    check_page(guest, 2, 2);
    copy(buffer, false);
    g_assert_cmpint(n_asked, ==, 2);
    g_assert_false(asked[0].fill || asked[1].fill);
    g_assert_cmpint(distkvm_copy(&part, 1, true), ==, -EINVAL);
    part.length = COH_PAGE_SIZE;
    g_assert_cmpint(distkvm_copy(&part, 1, false), ==, -EINVAL);
    part.addr = 8;
    g_assert_cmpint(distkvm_copy(&part, 1, true), ==, -EINVAL);
    distkvm->cpus.place = two_nodes;
    copy(buffer, true);
    g_assert_false(asked[0].fill || asked[2].fill);
}

/* A list that names a page twice: the bytes that it names last are there. */
static void test_twice(void)
{
    static CohNodeId here[] = { 0, 0 };
    CohNodeId *two_nodes = distkvm->cpus.place;
    uint8_t *page = guest + COH_PAGE_SIZE;
    const struct iovec iov[] = {
        { .iov_base = page, .iov_len = 512 },
        { .iov_base = page, .iov_len = COH_PAGE_SIZE },
    };
    g_autofree uint8_t *buffer = g_malloc(512 + COH_PAGE_SIZE);

    result = 0;
    distkvm->cpus.place = here;
    memset(guest, 1, BYTES);
    memset(buffer, 2, 512);
    memset(buffer + 512, 3, COH_PAGE_SIZE);
    g_assert_cmpint(iov_from_buf(iov, ARRAY_SIZE(iov), 0, buffer,
                                 512 + COH_PAGE_SIZE), ==,
                    512 + COH_PAGE_SIZE);
    g_assert_cmpint(n_asked, ==, 2);
    g_assert_true(asked[0].move && asked[1].move);
    g_assert_false(asked[0].fill || asked[1].fill);
    check_page(guest, 1, 3);
    distkvm->cpus.place = two_nodes;
}

int main(int argc, char **argv)
{
    static CohNodeId two_nodes[] = { 0, 1 };

    g_test_init(&argc, &argv, NULL);
    distkvm = g_new0(DistKVM, 1);
    distkvm->cpus = (CpuPlaces) { .cpus = 2, .place = two_nodes };
    distkvm->engine = (Engine *)guest;
    node_set_formed(true);
    module_call_init(MODULE_INIT_QOM);
    machine_done->notify(machine_done, NULL);
    g_test_add_func("/vdma/reset", test_reset);
    g_test_add_func("/vdma/loss", test_loss);
    g_test_add_func("/vdma/kept", test_kept);
    g_test_add_func("/vdma/fill", test_fill);
    g_test_add_func("/vdma/twice", test_twice);
    return g_test_run();
}
