/*
 * Requests of threads between fakes, for tests of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "request-fake.h"

Requests requests;
static Deliver deliver;
static Executor executor;
static Faults faults;
/* Of the latest requests, each with one of its own. */
static RequestGroup groups[8];
static unsigned n_groups;
uint8_t next_state;
bool changes_state;
bool has_room;

/* In order, so that tests can name them. */
uint64_t op_number_take(OpNumbers *numbers)
{
    return ++numbers->number[0];
}

void executor_event(Executor *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &executor);
    fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
    if (ev->type == COH_EV_OPERATE) {
        fake_do("id %d", (int)ev->have);
    }
    if (ev->bytes) {
        fake_do("bytes '%s'", (const char *)ev->bytes);
    }
    if (changes_state) {
        fake_state(ev->page, next_state);
    }
    requests_hooks.moved(&requests, ev->page);
}

void deliver_event(Deliver *to, const CohEvent *ev, const void *data)
{
    g_assert_true(to == &deliver);
    executor_event(&executor, ev, data);
}

void faults_take(Faults *to, const MemFault *fault)
{
    g_assert_true(to == &faults);
    fake_do("fetch %d to %s for %u%s", (int)fault->page,
            fault->write ? "write" : "read", fault->tid,
            fault->alone ? ", alone" : "");
    fake_state(fault->page, fault->write ? COH_PEER_IM_AD : COH_PEER_IS_D);
}

bool faults_fill(Faults *to, CohPage page, const void *bytes)
{
    g_assert_true(to == &faults);
    if (!has_room) {
        return false;
    }
    fake_do("fill %d with '%s'", (int)page, (const char *)bytes);
    fake_state(page, COH_PEER_IF_AD);
    requests_hooks.moved(&requests, page);
    return true;
}

void setup(void)
{
    fake_init();
    has_room = true;
    changes_state = false;
    requests = (Requests) {
        .deliver = &deliver, .executor = &executor, .faults = &faults,
    };
    requests_part.init(&requests, &fake.ctx);
}

void ask(Request *r, RequestKind kind, bool write)
{
    *r = (Request) {
        .kind = kind, .page = PAGE, .write = write, .tid = 7, .result = 1,
    };
    r->op = (CohOp) {
        .code = write ? COH_OP_ADD : COH_OP_READ, .size = 4, .operand = 5,
    };
    r->group = &groups[n_groups++ % G_N_ELEMENTS(groups)];
    request_group_init(r->group, 1);
    requests_add(&requests, r);
}

bool is_done(Request *r)
{
    return !qemu_sem_timedwait(&r->group->done, 0);
}

void move(uint8_t state)
{
    fake_state(PAGE, state);
    requests_hooks.moved(&requests, PAGE);
    requests_run_moved(&requests);
}

static void add(Request *r)
{
    r->group = &groups[n_groups++ % G_N_ELEMENTS(groups)];
    request_group_init(r->group, 1);
    requests_add(&requests, r);
}

void ask_bytes(Request *r, CohPage page, CohOpCode code, void *bytes)
{
    *r = (Request) {
        .kind = REQUEST_OPERATE, .page = page, .tid = 7, .result = 1,
        .bytes = bytes, .write = code == COH_OP_PUT_BYTES,
        .op = { .code = code, .offset = 8, .length = 4 },
    };
    add(r);
}

void ask_whole(Request *r, void *bytes, bool fill)
{
    *r = (Request) {
        .kind = REQUEST_OPERATE, .page = PAGE, .tid = 7, .result = 1,
        .bytes = bytes, .write = true, .fill = fill,
        .op = { .code = COH_OP_PUT_BYTES, .length = COH_PAGE_SIZE },
    };
    add(r);
}
