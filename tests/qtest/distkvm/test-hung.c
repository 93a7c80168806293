/*
 * distkvm: a lane that hangs when a node is lost
 *
 * The linker puts __wrap_engine_start() in place of engine_start(): there one
 * lane of two hangs, and then each call that waits for lanes must end.  It also
 * puts __wrap_mailbox_call() in place, which counts orders for that lane.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "system/distkvm-memory.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/engine/engine-internal.h"
#include "early-loss.h"

#define WHY "a test lets this lane hang"
#define LANES 2
/* Pages of the lane that hangs, which are here; the other lane has page 0. */
#define GOT 512
#define GOT_STAYS 513
#define PUT 514
#define GIVEN_UP 515

static QemuSemaphore hangs, goes_on;
static bool ended;
static unsigned orders;         /* atomic: for the lane that hangs          */
static uint8_t got[COH_PAGE_SIZE], got_stays[COH_PAGE_SIZE],
               put[COH_PAGE_SIZE];

static void hang(Lane *lane, void *unused)
{
    qemu_sem_post(&hangs);
    qemu_sem_wait(&goes_on);
}

static void *fail(void *e)
{
    engine_fail(e);
    return NULL;
}

/* After the loss the lane that went on may look at a page of its own. */
static void unpoison(int sig, siginfo_t *info, void *unused)
{
    if (!mem_is_poisoned(info->si_addr) || !mem_unpoison(info->si_addr)) {
        abort();
    }
}

static void check_calls(Engine *e)
{
    uint64_t old;
    CohOp op = { .code = COH_OP_READ, .size = 8 };

    engine_pin(e, 0, 1);
    engine_unpin(e);
    engine_settle_prejoin(e, true);
    g_assert_cmpint(engine_validate(e, 0, true), ==, -EIO);
    g_assert_cmpint(engine_operate(e, 0, &op, &old), ==, -EIO);
    g_assert_cmpint(engine_give_up(e, 0), ==, -EIO);
}

/* --------------------------------------- calls that wait since before it */

static void *wait_validate(void *e)
{
    g_assert_cmpint(engine_validate(e, GOT, true), ==, -EIO);
    return NULL;
}

static void *wait_operate(void *e)
{
    CohOp op = { .code = COH_OP_READ, .size = 8 };
    uint64_t old;

    g_assert_cmpint(engine_operate(e, GOT, &op, &old), ==, -EIO);
    return NULL;
}

static void *wait_give_up(void *e)
{
    g_assert_cmpint(engine_give_up(e, GIVEN_UP), ==, -EIO);
    return NULL;
}

/* Of pages of both lanes. */
static void wait_copy(Engine *e, CohPage page, uint8_t *bytes, bool stays,
                      bool is_put)
{
    uint8_t other[8] = { 0 };
    EngineSpan span[] = {
        { .page = 0, .length = sizeof(other), .buffer = other },
        { .page = page, .length = COH_PAGE_SIZE, .buffer = bytes,
          .stays = stays },
    };

    g_assert_cmpint(engine_copy(e, span, ARRAY_SIZE(span), is_put), ==, -EIO);
}

static void *wait_get(void *e)
{
    memset(got, 0x55, sizeof(got));
    wait_copy(e, GOT, got, false, false);
    return NULL;
}

static void *wait_get_stays(void *e)
{
    memset(got_stays, 0x55, sizeof(got_stays));
    wait_copy(e, GOT_STAYS, got_stays, true, false);
    return NULL;
}

static void *wait_put(void *e)
{
    memset(put, 0x66, sizeof(put));
    wait_copy(e, PUT, put, false, true);
    /* It is this thread's again. */
    memset(put, 0x77, sizeof(put));
    return NULL;
}

static void *(*const waits[])(void *e) = {
    wait_validate, wait_operate, wait_give_up, wait_get, wait_get_stays,
    wait_put,
};

bool __wrap_mailbox_call(Mailbox *mailbox, MailboxFn *fn, void *opaque,
                         unsigned ms)
{
    bool done = __real_mailbox_call(mailbox, fn, opaque, ms);

    if (mailbox->lane->ctx.lane == LANES - 1) {
        qatomic_inc(&orders);
    }
    return done;
}

static void begin_waits(Engine *e, QemuThread *thread)
{
    qatomic_set(&orders, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(waits); i++) {
        qemu_thread_create(&thread[i], "wait", waits[i], e,
                           QEMU_THREAD_JOINABLE);
    }
    /* Each has left its order for the lane that hangs. */
    while (qatomic_read(&orders) < ARRAY_SIZE(waits)) {
        g_usleep(1000);
    }
}

/* Orders of threads that had left were carried out, with bytes of their own. */
static void check_left_behind(Engine *e)
{
    const uint8_t *page = engine_host(e, PUT);

    for (unsigned i = 0; i < COH_PAGE_SIZE; i++) {
        g_assert_cmphex(got[i], ==, 0x55);
        g_assert_cmphex(got_stays[i], ==, 0);
        g_assert_cmphex(page[i], ==, 0x66);
    }
}

/* A copy waits for lanes that have a part in it, and for no others. */
static void check_other_lane(Engine *e)
{
    uint64_t word = 1;
    EngineSpan span = { .page = 0, .length = sizeof(word), .buffer = &word };

    g_assert_cmpint(engine_copy(e, &span, 1, true), ==, 0);
}

static void let_hang(Engine *e)
{
    for (CohPage page = GOT; page <= GIVEN_UP; page++) {
        g_assert_cmpint(engine_validate(e, page, true), ==, 0);
    }
    mailbox_call(&e->lane[LANES - 1]->mailbox, hang, NULL, 0);
    qemu_sem_wait(&hangs);
}

void __wrap_engine_start(Engine *e)
{
    struct sigaction action = {
        .sa_sigaction = unpoison, .sa_flags = SA_SIGINFO,
    };
    QemuThread failing, waiting[ARRAY_SIZE(waits)];

    __real_engine_start(e);
    sigaction(SIGSEGV, &action, NULL);
    qemu_sem_init(&hangs, 0);
    qemu_sem_init(&goes_on, 0);
    g_assert_cmpint(e->lanes, ==, LANES);
    let_hang(e);
    check_other_lane(e);
    begin_waits(e, waiting);
    qemu_thread_create(&failing, "fail", fail, e, QEMU_THREAD_JOINABLE);
    /* Some wait from before the loss, others begin after it. */
    check_calls(e);
    for (unsigned i = 0; i < ARRAY_SIZE(waits); i++) {
        qemu_thread_join(&waiting[i]);
    }
    qemu_thread_join(&failing);
    check_calls(e);
    ended = true;
    /* Orders of before are carried out now, and find their data. */
    qemu_sem_post(&goes_on);
    g_assert_true(mailbox_call(&e->lane[LANES - 1]->mailbox, hang, NULL, 0) ||
                  !qemu_sem_timedwait(&hangs, 60000));
    qemu_sem_post(&goes_on);
    check_left_behind(e);
    member_broken(WHY);
}

static void test_hung(void)
{
    g_autofree char *dir = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    g_autofree char *peers = g_strdup_printf("unix:2:%s", dir);
    g_autofree char *lock = g_strdup_printf("%s/node-0.sock.lock", dir);
    g_autofree char *socket = g_strdup_printf("%s/node-0.sock", dir);
    DistkvmInit init;
    char *why = NULL;

    distkvm_init_defaults(&init);
    init.node = 0;
    init.peers = peers;
    init.bytes = 8 << 20;
    init.lanes = LANES;
    init.join_timeout_s = 10;
    if (distkvm_init(&init, &why) == -EINVAL && strstr(why, "userfaultfd")) {
        g_test_skip(why);
    } else {
        g_assert_true(ended);
        g_assert_cmpstr(why, ==, WHY);
    }
    unlink(socket);
    unlink(lock);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hung/calls-end", test_hung);
    return g_test_run();
}
