/*
 * Page faults
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/engine/fault.h"
#include "lane-fake.h"

static Faults faults;
static Affinity affinity;
static Evict evict;
static Executor executor;
static Heat heat;
static Prefetch prefetch;
static Prejoin prejoin;
static Waiters waiters;
static Waiter waiter;
static bool full, answered_at_once;
static MemFault queue[100];
static int queued;
static GArray *deferred;

/* ------------------------------------------------------- the parts below */

void affinity_fault(Affinity *to, uint32_t tid, bool may_bind, int64_t now_ns)
{
    fake_do("follow %u%s", tid, may_bind ? ", bind" : "");
}

bool evict_has_room(const Evict *of, CohPage page)
{
    return !full;
}

void evict_expect(Evict *to, CohPage page)
{
    fake_do("expect");
}

bool evict_is_below_cap(const Evict *of)
{
    return !full;
}

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
    if (data) {
        fake_do("'%s'", (const char *)data);
    }
}

void heat_add(Heat *to, CohPage page)
{
    fake_do("hot");
}

void prefetch_untouched(Prefetch *to, const MemFault *fault)
{
    fake_do("untouched");
}

void prefetch_absent(Prefetch *to, const MemFault *fault)
{
    fake_do("absent");
}

uint8_t prefetch_event_type(Prefetch *to, const MemFault *fault, uint8_t state)
{
    return fault->write || fake.ctx.pinned ? COH_EV_STORE : COH_EV_LOAD;
}

void prefetch_companions(Prefetch *to, const MemFault *fault, uint8_t state)
{
    fake_do("companions");
}

void prefetch_pending(Prefetch *to, const MemFault *fault)
{
    fake_do("pending");
}

void prejoin_fault(Prejoin *to, CohPage page)
{
    fake_do("prejoin %d", (int)page);
}

void waiters_add(Waiters *to, const MemFault *fault, uint8_t state,
                 bool prefetched)
{
    fake_do("waits");
    g_assert_false(prefetched);
}

Waiter *waiters_find(const Waiters *of, CohPage page)
{
    return answered_at_once ? NULL : &waiter;
}

void waiters_defer(Waiters *to, const MemFault *fault)
{
    fake_do("deferred %d", (int)fault->page);
    g_array_append_val(deferred, *fault);
}

bool waiters_has_deferred(const Waiters *of)
{
    return deferred->len;
}

GArray *waiters_take_deferred(Waiters *of)
{
    GArray *taken = deferred;

    deferred = g_array_new(false, false, sizeof(MemFault));
    return taken;
}

int mem_faults(Mem *mem, unsigned lane, MemFault *fault, int max)
{
    int n = MIN(max, queued);

    fake_do("read");
    memcpy(fault, queue, n * sizeof(*fault));
    queued -= n;
    memmove(queue, queue + n, queued * sizeof(*fault));
    return n;
}

static bool may_bind(void *opaque, uint32_t tid)
{
    return tid == 8;
}

static void setup(void)
{
    fake_init();
    fake.host.may_bind = may_bind;
    full = answered_at_once = false;
    queued = 0;
    waiter = (Waiter) { .since_ns = 55 };
    if (!deferred) {
        deferred = g_array_new(false, false, sizeof(MemFault));
    }
    faults = (Faults) {
        .affinity = &affinity, .evict = &evict, .executor = &executor,
        .heat = &heat, .prefetch = &prefetch, .prejoin = &prejoin,
        .waiters = &waiters,
    };
    faults_part.init(&faults, &fake.ctx);
}

static void take(CohPage page, bool write, uint32_t tid)
{
    MemFault fault = { .page = page, .write = write, .tid = tid };

    faults_take(&faults, &fault);
}

static void test_absent(void)
{
    setup();
    take(FAKE_FAR, false, 7);
    fake_did("hot; waits; LOAD 3; follow 7; absent; companions");
    g_assert_true(waiter.remote);
    take(FAKE_FAR, true, 8);
    fake_did("hot; waits; STORE 3; follow 8, bind; absent; companions");
    g_assert_cmpint(fake.ctx.stats.faults_read, ==, 1);
    g_assert_cmpint(fake.ctx.stats.faults_write, ==, 1);
}

/* Nothing is prefetched that a thread has not named. */
static void test_alone(void)
{
    MemFault fault = {
        .page = FAKE_FAR, .write = true, .tid = 7, .alone = true,
    };

    setup();
    faults_take(&faults, &fault);
    fake_did("hot; waits; STORE 3; follow 7");
    fake_state(FAKE_FAR, COH_PEER_IM_AD);
    faults_take(&faults, &fault);
    fake_did("waits; STORE 3; follow 7");
}

static void test_other_states(void)
{
    setup();
    fake_state(FAKE_FAR, COH_PEER_S);
    take(FAKE_FAR, true, 7);
    fake_did("hot; waits; STORE 3; follow 7; companions");
    g_assert_cmpint(fake.ctx.stats.faults_upgrade, ==, 1);
    /* It is there already: nothing but an event, that wakes. */
    answered_at_once = true;
    take(FAKE_FAR, false, 7);
    fake_did("hot; LOAD 3");
    fake_state(FAKE_FAR, COH_PEER_M);
    take(FAKE_FAR, true, 7);
    fake_did("STORE 3");
    answered_at_once = false;
    fake_state(FAKE_FAR, COH_PEER_IS_D);
    take(FAKE_FAR, false, 7);
    fake_did("waits; LOAD 3; follow 7; pending; companions");
    g_assert_cmpint(fake.ctx.stats.faults_read, ==, 0);
}

/* Its own page, which no node has touched: no other node is needed. */
static void test_untouched(void)
{
    setup();
    fake.home[0].state = COH_HOME_U;
    take(FAKE_OWN, true, 7);
    fake_did("waits; STORE 64; untouched");
    g_assert_false(waiter.remote);
    g_assert_cmpint(fake.ctx.stats.faults_local, ==, 1);
    fake.home[0].state = COH_HOME_M;
    take(FAKE_OWN, true, 7);
    fake_did("hot; waits; STORE 64; follow 7; absent; companions");
    /* A write to its own copy: other nodes act, the wait is short. */
    waiter.remote = false;
    fake_state(FAKE_OWN, COH_PEER_S);
    take(FAKE_OWN, true, 7);
    fake_did("hot; waits; STORE 64; companions");
    g_assert_false(waiter.remote);
}

/* A misaligned LOCK reads first, but must own the page. */
static void test_pinned(void)
{
    setup();
    fake.ctx.pinned = true;
    take(FAKE_FAR, false, 7);
    fake_did("hot; waits; STORE 3; follow 7; absent; companions");
}

static void test_phases(void)
{
    setup();
    fake.ctx.phase = LANE_ALONE;
    take(FAKE_FAR, false, 7);
    fake_did("prejoin 3");
    take(FAKE_OWN, false, 7);
    fake_did("waits; LOAD 64; untouched");
    fake.ctx.phase = LANE_FAILED;
    take(FAKE_FAR, false, 7);
    fake_did("poison 3");
    fake_state(FAKE_FAR, COH_PEER_M);
    take(FAKE_FAR, false, 7);
    fake_did("wake 3");
}

static void test_no_room(void)
{
    setup();
    full = true;
    take(FAKE_FAR, false, 7);
    take(FAKE_FAR2, false, 8);
    /* It is here: no room is needed. */
    fake_state(4, COH_PEER_S);
    take(4, true, 9);
    fake_did("deferred 3; deferred 133; hot; waits; STORE 4; follow 9; companions");
    g_assert_cmpint(fake.ctx.stats.faults_deferred, ==, 2);
    g_assert_false(faults_deferred_pass.run(&faults));
    fake_did("");
    full = false;
    g_assert_true(faults_deferred_pass.run(&faults));
    fake_did("hot; waits; LOAD 3; follow 7; absent; companions; "
             "hot; waits; LOAD 133; follow 8, bind; absent; companions");
    g_assert_false(faults_deferred_pass.run(&faults));
}

/* Its bytes are known: the page need not bring any. */
static void test_fill(void)
{
    setup();
    fake.ctx.phase = LANE_JOINED;
    g_assert_true(faults_fill(&faults, FAKE_FAR, "abc"));
    fake_did("expect; FILL 3; 'abc'");
    full = true;
    g_assert_false(faults_fill(&faults, FAKE_FAR2, "abc"));
    full = false;
    fake.ctx.phase = LANE_ALONE;
    g_assert_false(faults_fill(&faults, FAKE_FAR2, "abc"));
    fake_did("");
}

/* Not in every pass, unless it is known that there are some. */
static void test_reads(void)
{
    setup();
    g_assert_false(faults_part.run(&faults));
    g_assert_false(faults_part.run(&faults));
    fake_did("");
    g_assert_false(faults_part.run(&faults));
    fake_did("read");
    queue[0] = (MemFault) { .page = FAKE_FAR, .tid = 7 };
    queued = 1;
    faults_polled(&faults, true);
    g_assert_true(faults_part.run(&faults));
    fake_did("read; hot; waits; LOAD 3; follow 7; absent; companions");
    g_assert_false(fake.ctx.faults_pending);
    faults_part.run(&faults);
    faults_polled(&faults, false);
    faults_part.run(&faults);
    faults_part.run(&faults);
    fake_did("");
    /* As many as fit: there may be more. */
    queued = 20;
    faults_polled(&faults, true);
    g_assert_true(faults_read(&faults));
    g_assert_true(fake.ctx.faults_pending);
    g_assert_true(faults_read(&faults));
    g_assert_false(fake.ctx.faults_pending);
    g_assert_cmpint(queued, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fault/absent", test_absent);
    g_test_add_func("/fault/other-states", test_other_states);
    g_test_add_func("/fault/untouched", test_untouched);
    g_test_add_func("/fault/pinned", test_pinned);
    g_test_add_func("/fault/phases", test_phases);
    g_test_add_func("/fault/no-room", test_no_room);
    g_test_add_func("/fault/fill", test_fill);
    g_test_add_func("/fault/reads", test_reads);
    g_test_add_func("/fault/alone", test_alone);
    return g_test_run();
}
