/*
 * distkvm: calls of the engine that wait for pages, and for operations on them
 *
 * A lane's thread may hang after a loss, and may go on later.  So its requests,
 * and the bytes that they move, are no memory of the thread that waits: that
 * thread leaves them behind.  Only a caller that can leave its buffers behind,
 * too, saves the copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "engine-request.h"
#include "engine-internal.h"

typedef struct Call {
    RequestGroup group;         /* of all requests, and of each lane's call */
    unsigned n;
    Request request[];          /* behind them the bytes that they move     */
} Call;

static Call *call_new(unsigned n, size_t bytes)
{
    Call *c = g_malloc(sizeof(*c) + n * sizeof(c->request[0]) + bytes);

    c->n = n;
    return c;
}

/* ---------------------------------------------------------------- one page */

bool engine_has(Engine *e, CohPage page, bool write)
{
    uint8_t state = qatomic_read(&e->tables.node.peer[page].state);

    return state == COH_PEER_M || (state == COH_PEER_S && !write);
}

static void call_request(Lane *lane, void *opaque)
{
    Call *c = opaque;

    requests_add(&lane->requests, c->request);
}

/* Wait until @r is served: its results. */
static int request(Engine *e, Request *r)
{
    Lane *lane = e->lane[lane_of(&e->config.lanes, r->page)];
    Call *c;

    if (qatomic_read(&e->hung)) {
        return -EIO;
    }
    c = call_new(1, 0);
    r->tid = qemu_get_thread_id();
    r->group = &c->group;
    c->request[0] = *r;
    request_group_init(&c->group, 1);
    mailbox_call(&lane->mailbox, call_request, c, 0);
    if (!request_group_wait(&c->group, &e->hung)) {
        return -EIO;
    }
    *r = c->request[0];
    g_free(c);
    return r->result;
}

int engine_validate(Engine *e, CohPage page, bool write)
{
    Request r = { .kind = REQUEST_VALID, .page = page, .write = write };

    return request(e, &r);
}

int engine_operate(Engine *e, CohPage page, const CohOp *op, uint64_t *old)
{
    Request r = {
        .kind = REQUEST_OPERATE, .page = page, .op = *op,
        .write = coh_op_writes(op),
    };
    int ret = request(e, &r);

    *old = r.value;
    return ret;
}

int engine_give_up(Engine *e, CohPage page)
{
    Request r = { .kind = REQUEST_GIVE_UP, .page = page };

    return request(e, &r);
}

/* ------------------------------------------------------------------ a range */

typedef struct RangeCall {
    CohPage first;
    unsigned pages;
    bool write;
    uint32_t tid;
} RangeCall;

static void call_range(Lane *lane, void *opaque)
{
    g_autofree RangeCall *c = opaque;

    if (lane->ctx.phase == LANE_JOINED) {
        prefetch_range(&lane->prefetch, c->first, c->pages, c->write, c->tid);
    }
}

int engine_validate_range(Engine *e, CohPage first, unsigned pages,
                          bool write)
{
    RangeCall c = { first, pages, write, qemu_get_thread_id() };
    int ret = 0;

    for (unsigned n = 0; n < e->lanes; n++) {
        mailbox_call(&e->lane[n]->mailbox, call_range,
                     g_memdup2(&c, sizeof(c)), 0);
    }
    for (CohPage page = first; !ret && page < first + pages; page++) {
        ret = engine_has(e, page, write) ? 0
              : engine_validate(e, page, write);
    }
    return ret;
}

/* ------------------------------------------------------------------- copies */

/* Messages leave together, also those for pages that are at home here. */
static void call_copy(Lane *lane, void *opaque)
{
    Call *c = opaque;

    outbox_cork(&lane->outbox);
    for (unsigned i = 0; i < c->n; i++) {
        if (lane_owns(&lane->ctx, c->request[i].page)) {
            requests_add(&lane->requests, &c->request[i]);
        }
    }
    requests_run_events(&lane->requests);
    outbox_uncork(&lane->outbox);
    request_group_done(&c->group);
}

static Request span_request(Engine *e, const EngineSpan *span, bool put,
                            RequestGroup *group)
{
    return (Request) {
        .kind = span->move ? REQUEST_VALID : REQUEST_OPERATE,
        .page = span->page, .write = put,
        .op = {
            .code = put ? COH_OP_PUT_BYTES : COH_OP_GET_BYTES,
            .offset = span->offset, .length = span->length,
        },
        .fill = span->fill,
        .epoch = lane_epoch(&e->lane[0]->ctx),
        .tid = qemu_get_thread_id(), .group = group,
    };
}

/* The call of @n spans, with the bytes that are @put. */
static Call *copy_new(Engine *e, const EngineSpan *span, unsigned n, bool put)
{
    size_t bytes = 0;
    uint8_t *at;
    Call *c;

    for (unsigned i = 0; i < n; i++) {
        bytes += span[i].move || span[i].stays ? 0 : span[i].length;
    }
    c = call_new(n, bytes);
    at = (uint8_t *)&c->request[n];
    for (unsigned i = 0; i < n; i++) {
        c->request[i] = span_request(e, &span[i], put, &c->group);
        if (span[i].move || span[i].stays) {
            c->request[i].bytes = span[i].move ? NULL : span[i].buffer;
            continue;
        }
        c->request[i].bytes = put ? memcpy(at, span[i].buffer, span[i].length)
                                  : at;
        at += span[i].length;
    }
    return c;
}

/* The results of @c, in @span; 0 or -errno. */
static int copy_end(const Call *c, EngineSpan *span, bool put)
{
    int ret = 0;

    for (unsigned i = 0; i < c->n; i++) {
        const Request *r = &c->request[i];

        span[i].came = span[i].move || r->came;
        span[i].filled = r->filled;
        if (!r->result && r->bytes && !span[i].stays && !put) {
            memcpy(span[i].buffer, r->bytes, span[i].length);
        }
        ret = r->result == -EIO || !ret ? r->result : ret;
    }
    return ret;
}

/* The lanes that have a part in @c, in @has; how many. */
static unsigned find_lanes(const Engine *e, const Call *c, bool has[LANES_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++) {
        bool *lane = &has[lane_of(&e->config.lanes, c->request[i].page)];

        n += !*lane;
        *lane = true;
    }
    return n;
}

int engine_copy(Engine *e, EngineSpan *span, unsigned n, bool put)
{
    bool has[LANES_MAX] = { false };
    Call *c;
    int ret;

    if (qatomic_read(&e->hung)) {
        return -EIO;
    }
    c = copy_new(e, span, n, put);
    request_group_init(&c->group, n + find_lanes(e, c, has));
    for (unsigned lane = 0; lane < e->lanes; lane++) {
        if (has[lane]) {
            mailbox_call(&e->lane[lane]->mailbox, call_copy, c, 0);
        }
    }
    if (!request_group_wait(&c->group, &e->hung)) {
        return -EIO;
    }
    ret = copy_end(c, span, put);
    g_free(c);
    return ret;
}

/* ------------------------------------------------------------------- resets */

static void call_settle(Lane *lane, void *group)
{
    requests_settle(&lane->requests, group);
}

void engine_settle_fills(Engine *e)
{
    RequestGroup *group = g_new(RequestGroup, 1);

    request_group_init(group, e->lanes);
    for (unsigned lane = 0; lane < e->lanes; lane++) {
        mailbox_call(&e->lane[lane]->mailbox, call_settle, group, 0);
    }
    if (request_group_wait(group, &e->hung)) {
        g_free(group);
    }
}
