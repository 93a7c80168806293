/*
 * Actions of the protocol are done, and in its order
 *
 * The core is the real one; the parts below are fakes that say their names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/executor.h"
#include "lane-fake.h"

static Executor executor;
static Codec codec;
static bool answers, adopts, has_waiter;
static uint32_t epoch;
static CensusCounts census[FAKE_NODES];
static uint8_t page_data[COH_PAGE_SIZE];

/* ----------------------------------------------------- the parts below */

void codec_copied(Codec *to, const CohEvent *ev, bool owned)
{
    fake_do("copied%s", owned ? " owned" : "");
}

void codec_put_page(Codec *to, WireFrame *frame)
{
    frame->coh.version = 33;
}

void codec_drop_copy(Codec *to)
{
    fake_do("drop copy");
}

void codec_store_sent(Codec *to, CohPage page)
{
}

uint64_t codec_pin_version(Codec *to, CohPage page)
{
    return 44;
}

void codec_unpin_version(Codec *to, CohPage page)
{
    fake_do("unpin");
}

void late_fetch_begins(Late *late, CohPage page)
{
    fake_do("fetch begins");
}

void late_service_begins(Late *late, CohPage page, CohNodeId requester)
{
    fake_do("service of %d begins", requester);
}

void late_asked(Late *late, CohPage page, const CohNodeSet *asked)
{
    fake_do("asked %d", coh_set_next(asked, 0));
}

void outbox_send_request(Outbox *outbox, CohNodeId to, WireFrame *frame)
{
    const void *bytes;
    CohOp op;

    fake_do("%s to %d, version %d", coh_event_name(frame->sub), to,
            (int)frame->coh.version);
    if (frame->len) {
        g_assert_true(coh_op_decode(frame->payload, frame->len,
                                    frame->sub == COH_EV_VALUE, &op, &bytes));
        fake_do("operand %d", (int)op.operand);
        if (bytes) {
            fake_do("%d bytes '%.3s'", op.length, (const char *)bytes);
        }
        g_assert_cmpint(frame->epoch, ==, epoch);
    }
}

bool preprotect_has(const Preprotect *protect, CohPage page)
{
    return page == protect->first;
}

void preprotect_end(Preprotect *protect)
{
    fake_do("end of preprotect");
}

void stalled_add(Stalled *stalled, const CohEvent *ev)
{
    fake_do("stalled");
}

void stalled_next(Stalled *stalled, CohPage page)
{
    fake_do("next");
}

bool waiters_installed(Waiters *waiters, CohPage page)
{
    fake_do("arrived");
    return has_waiter;
}

void wakeup_installed(Wakeup *wakeup, CohPage page)
{
}

void wakeup_page(Wakeup *wakeup, CohPage page)
{
    fake_do("wake-up");
}

/* ----------------------------------------------------- the parts above */

static void above_installed(void *part, CohPage page)
{
    fake_do("installed");
}

static void above_changed(void *part, CohPage page)
{
    fake_do("changed");
}

static void above_moved(void *part, CohPage page)
{
    fake_do("moved");
}

static bool above_answered(void *part, const CohEvent *ev, uint64_t value,
                           const void *bytes)
{
    fake_do("answered %d", (int)value);
    if (ev->op.code == COH_OP_GET_BYTES) {
        fake_do("'%.3s'", (const char *)bytes);
    }
    return answers;
}

static bool above_refused(void *part, const CohEvent *ev)
{
    fake_do("refused");
    return answers;
}

static bool above_adopt(void *part, CohPage page)
{
    fake_do("adopt?");
    return adopts;
}

static const PageHooks all_hooks = {
    .installed = above_installed, .changed = above_changed,
    .moved = above_moved, .answered = above_answered,
    .refused = above_refused, .adopt = above_adopt,
};
static const PageHooks no_hooks;

static void setup(void)
{
    static Late late;
    static Outbox outbox;
    static Preprotect preprotect;
    static Stalled stalled;
    static Waiters waiters;
    static Wakeup wakeup;

    fake_init();
    epoch = 0;
    preprotect.first = UINT64_MAX;
    memset(census, 0, sizeof(census));
    executor = (Executor) {
        .census = census, .codec = &codec, .late = &late, .outbox = &outbox,
        .preprotect = &preprotect, .stalled = &stalled, .waiters = &waiters,
        .wakeup = &wakeup, .hook = { { &no_hooks }, { &all_hooks } },
    };
    executor_part.init(&executor, &fake.ctx);
    answers = adopts = has_waiter = false;
}

static void event(uint8_t type, CohNodeId from, CohPage page)
{
    CohEvent ev = fake_event(type, from, page);

    ev.requester = 2;
    ev.have = 7;
    executor_event(&executor, &ev, page_data);
}

static void test_fetch(void)
{
    setup();
    has_waiter = true;
    event(COH_EV_LOAD, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETS to 0, version 44; moved");
    event(COH_EV_DATA_S, 2, FAKE_FAR);
    fake_did("install 3 ro; installed; arrived; unpin; wake-up; "
             "DONE to 0, version 0; moved; moved");
    g_assert_cmpint(fake.ctx.stats.pages_resident, ==, 1);
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 0);
    g_assert_cmpint(fake.ctx.stats.sent_by_type[COH_EV_GETS], ==, 1);
    /* In the stretch of that page, and in no other. */
    g_assert_cmpint(census[0].present, ==, 1);
    g_assert_cmpint(census[0].owned, ==, 0);
    g_assert_cmpint(census_sum(census, 1, FAKE_NODES - 1).present, ==, 0);
    executor_part.free(&executor);
}

/* No thread waits for a page that came along. */
static void test_not_woken(void)
{
    setup();
    event(COH_EV_LOAD, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETS to 0, version 44; moved");
    event(COH_EV_DATA_S, 2, FAKE_FAR);
    fake_did("install 3 ro; installed; arrived; unpin; DONE to 0, version 0; "
             "moved; moved");
    executor_part.free(&executor);
}

/* Gone, then translations outdated, then answered. */
static void test_order_of_leaving(void)
{
    setup();
    fake_state(FAKE_FAR, COH_PEER_M);
    fake.ctx.stats.pages_resident = fake.ctx.stats.pages_owned = 1;
    census[0] = (CensusCounts) { 9, 9 };
    event(COH_EV_FWD_GETM, 0, FAKE_FAR);
    fake_did("take 3 owned; revoked 3; copied owned; "
             "DATA_M to 2, version 33; moved");
    g_assert_cmpint(fake.ctx.stats.pages_resident, ==, 0);
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 0);
    g_assert_cmpint(fake.ctx.stats.invalidations, ==, 1);
    g_assert_cmpint(census[0].present, ==, 8);
    g_assert_cmpint(census[0].owned, ==, 8);
    fake_state(FAKE_FAR, COH_PEER_S);
    fake.ctx.stats.pages_resident = 1;
    event(COH_EV_INV, 0, FAKE_FAR);
    fake_did("zap 3; revoked 3; ACK to 2, version 7; moved");
    g_assert_cmpint(census_sum(census, 0, FAKE_NODES).present, ==, 7);
    g_assert_cmpint(census_sum(census, 0, FAKE_NODES).owned, ==, 8);
    g_assert_cmpint(fake.ctx.stats.pages_resident, ==, 0);
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 0);
    executor_part.free(&executor);
}

/* The page is there, and others have not answered yet: its data wait. */
static void test_waits_for_acks(void)
{
    CohEvent data = fake_event(COH_EV_DATA_M, 2, FAKE_FAR);

    setup();
    event(COH_EV_STORE, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETM to 0, version 44; moved");
    data.acks = 1;
    executor_event(&executor, &data, page_data);
    fake_did("moved");
    event(COH_EV_ACK, 2, FAKE_FAR);
    fake_did("install 3 rw; installed; arrived; unpin; DONE to 0, version 0; "
             "moved; moved");
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 1);
    g_assert_cmpint(g_hash_table_size(executor.pending_data), ==, 0);
    executor_part.free(&executor);
}

/* The bytes are kept until no other node has the page, and none travel. */
static void test_fill(void)
{
    CohEvent grant = fake_event(COH_EV_GRANT, 0, FAKE_FAR);

    setup();
    memset(page_data, 3, sizeof(page_data));
    event(COH_EV_FILL, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETO to 0, version 7; moved");
    event(COH_EV_ACK, 2, FAKE_FAR);
    fake_did("moved");
    grant.acks = 1;
    memset(page_data, 1, sizeof(page_data));
    executor_event(&executor, &grant, page_data);
    fake_did("install 3 rw; installed; arrived; unpin; DONE to 0, version 0; "
             "moved; moved");
    /* The bytes of the fill, and none that a grant has. */
    g_assert_cmpint(fake.ram[FAKE_FAR][0], ==, 3);
    g_assert_cmpint(fake.ram[FAKE_FAR][COH_PAGE_SIZE - 1], ==, 3);
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 1);
    g_assert_cmpint(g_hash_table_size(executor.pending_data), ==, 0);
    memset(page_data, 0, sizeof(page_data));
    /* The owner's part. */
    event(COH_EV_INV, 0, FAKE_FAR);
    fake_did("zap 3; revoked 3; ACK to 2, version 7; moved");
    g_assert_cmpint(fake.ctx.stats.pages_resident, ==, 0);
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 0);
    /* The home's. */
    fake.home[0].state = COH_HOME_M;
    fake.home[0].owner = 0;
    event(COH_EV_GETO, 2, FAKE_OWN);
    fake_did("service of 2 begins; asked 0; INV to 0, version 7; "
             "GRANT to 2, version 7");
    executor_part.free(&executor);
}

/* A copy that is here may be written to. */
static void test_upgrade(void)
{
    setup();
    has_waiter = true;
    fake_state(FAKE_FAR, COH_PEER_S);
    event(COH_EV_STORE, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETM to 0, version 44; moved");
    event(COH_EV_GRANT, 0, FAKE_FAR);
    fake_did("changed; protect 3+1 rw; arrived; unpin; wake-up; "
             "DONE to 0, version 0; moved; moved");
    g_assert_cmpint(fake.ctx.stats.pages_owned, ==, 1);
    g_assert_cmpint(census[0].present, ==, 0);
    g_assert_cmpint(census[0].owned, ==, 1);
    executor_part.free(&executor);
}

static void test_shares(void)
{
    setup();
    fake_state(FAKE_FAR, COH_PEER_M);
    event(COH_EV_FWD_GETS, 0, FAKE_FAR);
    fake_did("changed; protect 3+1 ro; copied owned; "
             "DATA_S to 2, version 33; moved");
    /* It is protected already. */
    fake_state(FAKE_FAR, COH_PEER_M);
    executor.preprotect->first = FAKE_FAR;
    event(COH_EV_FWD_GETS, 0, FAKE_FAR);
    fake_did("changed; copied owned; DATA_S to 2, version 33; moved");
    executor_part.free(&executor);
}

/* A home that serves lets others wait, and goes on when it is done. */
static void test_home(void)
{
    setup();
    fake.home[0].state = COH_HOME_M;
    fake.home[0].owner = 0;
    event(COH_EV_GETM, 2, FAKE_OWN);
    fake_did("service of 2 begins; asked 0; FWD_GETM to 0, version 7");
    event(COH_EV_GETM, 0, FAKE_OWN);
    fake_did("stalled");
    event(COH_EV_DONE, 2, FAKE_OWN);
    fake_did("next");
    executor_part.free(&executor);
}

/* A message to this node goes no way. */
static void test_to_self(void)
{
    setup();
    event(COH_EV_STORE, FAKE_SELF, FAKE_OWN);
    fake_did("fetch begins; moved");
    fake_events();
    fake_did("GETM 64");
    executor_part.free(&executor);
}

static void test_operation(void)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETV, 0, FAKE_FAR);

    setup();
    ev.op = (CohOp) {
        .code = COH_OP_ADD, .size = 4, .offset = 8, .operand = 5,
    };
    ev.requester = 2;
    ev.have = 9;
    fake.ram[FAKE_FAR][8] = 3;
    fake_state(FAKE_FAR, COH_PEER_M);
    executor.preprotect->first = FAKE_FAR;
    executor_event(&executor, &ev, NULL);
    fake_did("end of preprotect; revoked 3; VALUE to 2, version 9; operand 3; "
             "DONE to 0, version 9; moved");
    g_assert_cmpint(fake.ram[FAKE_FAR][8], ==, 8);
    g_assert_cmpint(executor.value, ==, 3);
    g_assert_cmpint(fake.ctx.stats.operations, ==, 1);
    executor_part.free(&executor);
}

static uint32_t epoch_of_host(void *opaque)
{
    return epoch;
}

static uint32_t next_epoch(void *opaque)
{
    return epoch + 1;
}

static uint32_t last_epoch(void *opaque)
{
    return epoch - 1;
}

/* Bytes of another node into a page of this one, and back. */
static void test_bytes(void)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETV, 0, FAKE_FAR);

    setup();
    ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .offset = 9, .length = 3 };
    ev.bytes = "abc";
    ev.requester = 2;
    fake_state(FAKE_FAR, COH_PEER_M);
    executor_event(&executor, &ev, NULL);
    fake_did("revoked 3; VALUE to 2, version 0; operand 0; "
             "DONE to 0, version 0; moved");
    g_assert_cmpmem(fake.ram[FAKE_FAR] + 8, 5, "\0abc\0", 5);
    g_assert_cmpint(fake.ctx.stats.bytes_put_here, ==, 3);
    ev.op.code = COH_OP_GET_BYTES;
    ev.bytes = NULL;
    executor_event(&executor, &ev, NULL);
    fake_did("VALUE to 2, version 0; operand 0; 3 bytes 'abc'; "
             "DONE to 0, version 0; moved");
    g_assert_cmpint(fake.ctx.stats.bytes_got_here, ==, 3);
    /* By this node, whose page it is. */
    ev.type = COH_EV_OPERATE;
    ev.from = FAKE_SELF;
    answers = true;
    executor_event(&executor, &ev, NULL);
    fake_did("answered 0; 'abc'; moved");
    executor_part.free(&executor);
}

/* The bytes go along, by way of the home, and stay with what is stalled. */
static void test_bytes_elsewhere(void)
{
    CohEvent ev = fake_event(COH_EV_OPERATE, FAKE_SELF, FAKE_FAR);

    setup();
    epoch = ev.epoch = 7;
    fake.host.epoch = epoch_of_host;
    ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .offset = 9, .length = 3 };
    ev.bytes = "abc";
    executor_event(&executor, &ev, NULL);
    fake_did("GETV to 0, version 0; operand 0; 3 bytes 'abc'; moved");
    ev.type = COH_EV_GETV;
    ev.from = 0;
    ev.page = FAKE_OWN;
    fake.home[0].state = COH_HOME_M;
    fake.home[0].owner = 2;
    executor_event(&executor, &ev, NULL);
    fake_did("service of 0 begins; asked 2; "
             "FWD_GETV to 2, version 0; operand 0; 3 bytes 'abc'");
    g_assert_cmpint(fake.ctx.stats.bytes_forwarded, ==, 3);
    /* An answer with bytes, to a get. */
    ev.type = COH_EV_VALUE;
    ev.op.code = COH_OP_GET_BYTES;
    answers = true;
    executor_event(&executor, &ev, NULL);
    fake_did("answered 0; 'abc'; moved");
    executor_part.free(&executor);
}

/* A put of before the guest's reset changes nothing, and says so. */
static void test_bytes_too_old(void)
{
    CohEvent ev = fake_event(COH_EV_FWD_GETV, 0, FAKE_FAR);

    setup();
    fake.host.epoch = epoch_of_host;
    epoch = ev.epoch = UINT32_MAX;
    ev.op = (CohOp) { .code = COH_OP_PUT_BYTES, .length = 3 };
    ev.bytes = "abc";
    ev.requester = 2;
    fake_state(FAKE_FAR, COH_PEER_M);
    executor_event(&executor, &ev, NULL);
    g_assert_cmpint(fake.ram[FAKE_FAR][0], ==, 'a');
    fake.ram[FAKE_FAR][0] = 0;
    g_string_truncate(fake.did, 0);
    fake.host.epoch = next_epoch;
    executor_event(&executor, &ev, NULL);
    fake_did("revoked 3; VALUE to 2, version 0; operand 1; "
             "DONE to 0, version 0; moved");
    g_assert_cmpint(fake.ram[FAKE_FAR][0], ==, 0);
    /* Another node may know of the reset first. */
    ev.epoch++;
    epoch++;
    fake.host.epoch = last_epoch;
    executor_event(&executor, &ev, NULL);
    g_assert_cmpint(fake.ram[FAKE_FAR][0], ==, 'a');
    executor_part.free(&executor);
}

/* An operation goes along with its request, and is done elsewhere. */
static void test_operation_elsewhere(void)
{
    CohEvent ev = fake_event(COH_EV_OPERATE, FAKE_SELF, FAKE_FAR);

    setup();
    ev.op = (CohOp) { .code = COH_OP_ADD, .size = 4, .operand = 5 };
    ev.have = 9;
    executor_event(&executor, &ev, NULL);
    fake_did("GETV to 0, version 9; operand 5; moved");
    g_assert_true(executor_carries_op(COH_EV_FWD_GETV));
    g_assert_true(executor_carries_op(COH_EV_VALUE));
    g_assert_false(executor_carries_op(COH_EV_GETM));
    executor_part.free(&executor);
}

/* An answer that nobody asked for is a lie. */
static void test_unsolicited(void)
{
    CohEvent ev = fake_event(COH_EV_VALUE, 2, FAKE_FAR);

    setup();
    ev.op.operand = 77;
    executor_event(&executor, &ev, NULL);
    fake_did("answered 77; lost 2: it answers an operation that nobody asked "
             "for; moved");
    answers = true;
    executor_event(&executor, &ev, NULL);
    fake_did("answered 77; moved");
    ev.type = COH_EV_REFUSE;
    ev.from = 0;
    executor_event(&executor, &ev, NULL);
    fake_did("refused; moved");
    answers = false;
    executor_event(&executor, &ev, NULL);
    fake_did("refused; lost 0: it answers an operation that nobody asked "
             "for; moved");
    executor_part.free(&executor);
}

/* The home may take a page back that only another node has, or not. */
static void test_adopts(void)
{
    setup();
    fake.home[0].state = COH_HOME_M;
    fake.home[0].owner = 2;
    event(COH_EV_PUT, 2, FAKE_OWN);
    fake_did("adopt?");
    adopts = true;
    event(COH_EV_PUT, 2, FAKE_OWN);
    fake_did("adopt?; fetch begins; moved");
    fake_events();
    fake_did("GETM 64");
    executor_part.free(&executor);
}

static void test_broken(void)
{
    setup();
    event(COH_EV_DATA_M, 2, FAKE_FAR);
    g_assert_true(g_str_has_prefix(fake.did->str, "lost 2: "));
    g_string_truncate(fake.did, 0);
    /* By this node itself, or one that does not exist. */
    event(COH_EV_INSTALLED, FAKE_SELF, FAKE_FAR);
    g_assert_true(g_str_has_prefix(fake.did->str, "broken: "));
    g_string_truncate(fake.did, 0);
    event(COH_EV_DATA_M, 9, FAKE_FAR);
    g_assert_true(g_str_has_prefix(fake.did->str, "broken: "));
    g_string_truncate(fake.did, 0);
    event(COH_EV_LOAD, FAKE_SELF, FAKE_FAR);
    fake_did("fetch begins; GETS to 0, version 44; moved");
    fake.mem_result = -ENOMEM;
    event(COH_EV_DATA_S, 2, FAKE_FAR);
    g_assert_true(g_str_has_prefix(fake.did->str,
                                   "install 3 ro; drop copy; broken: page"));
    executor_part.free(&executor);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/executor/fetch", test_fetch);
    g_test_add_func("/executor/not-woken", test_not_woken);
    g_test_add_func("/executor/order-of-leaving", test_order_of_leaving);
    g_test_add_func("/executor/waits-for-acks", test_waits_for_acks);
    g_test_add_func("/executor/fill", test_fill);
    g_test_add_func("/executor/upgrade", test_upgrade);
    g_test_add_func("/executor/shares", test_shares);
    g_test_add_func("/executor/home", test_home);
    g_test_add_func("/executor/to-self", test_to_self);
    g_test_add_func("/executor/operation", test_operation);
    g_test_add_func("/executor/bytes", test_bytes);
    g_test_add_func("/executor/bytes-elsewhere", test_bytes_elsewhere);
    g_test_add_func("/executor/bytes-too-old", test_bytes_too_old);
    g_test_add_func("/executor/operation-elsewhere",
                    test_operation_elsewhere);
    g_test_add_func("/executor/unsolicited", test_unsolicited);
    g_test_add_func("/executor/adopts", test_adopts);
    g_test_add_func("/executor/broken", test_broken);
    return g_test_run();
}
