/*
 * distkvm: the part of a lane that serves requests of this node's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "request.h"

/* A home may ignore a hint to take a page: it is repeated after this... */
#define GIVE_UP_RETRY_NS (500 * SCALE_US)
/* ...for this long. */
#define GIVE_UP_END_NS (500 * SCALE_MS)

static void queue_free(gpointer queue)
{
    g_queue_free(queue);
}

static void requests_init(void *part, LaneCtx *ctx)
{
    Requests *requests = part;

    requests->ctx = ctx;
    requests->queues = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                             g_free, queue_free);
    requests->moved = g_array_new(false, false, sizeof(CohPage));
    requests->due_ns = INT64_MAX;
}

static void requests_free(void *part)
{
    Requests *requests = part;

    g_hash_table_unref(requests->queues);
    g_array_unref(requests->moved);
}

/* -------------------------------------------------------------- one request */

static Request *first_request(Requests *requests, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(requests->queues, &page);

    return queue ? g_queue_peek_head(queue) : NULL;
}

/* @r, the first of its page, is served, or never will be. */
static void finish(Requests *requests, Request *r, int result)
{
    CohPage page = r->page;
    GQueue *queue = g_hash_table_lookup(requests->queues, &page);

    g_queue_pop_head(queue);
    if (g_queue_is_empty(queue)) {
        g_hash_table_remove(requests->queues, &page);
    }
    r->result = result;
    /* From here on it is the asking thread's again. */
    qemu_sem_post(&r->done);
}

static void fetch(Requests *requests, const Request *r)
{
    MemFault fault = { .page = r->page, .write = r->write, .tid = r->tid };

    faults_take(requests->faults, &fault);
}

static bool is_readable(uint8_t state)
{
    return state == COH_PEER_M || state == COH_PEER_S;
}

/* No message is under way for the page. */
static bool is_settled(uint8_t state)
{
    return is_readable(state) || state == COH_PEER_I;
}

static void try_valid(Requests *requests, Request *r, uint8_t state)
{
    if (r->write ? state == COH_PEER_M : is_readable(state)) {
        finish(requests, r, 0);
    } else if (is_settled(state)) {
        fetch(requests, r);
    }
}

static void operate(Requests *requests, Request *r)
{
    CohEvent ev = {
        .type = COH_EV_OPERATE, .from = requests->ctx->node->id,
        .page = r->page, .op = r->op,
    };

    r->id = ev.have = ++requests->last_id;
    r->here = false;
    executor_event(requests->executor, &ev, NULL);
}

static void try_operate(Requests *requests, Request *r, uint8_t state)
{
    LaneCtx *ctx = requests->ctx;

    if (state == COH_PEER_S && !r->write && (!r->id || r->here)) {
        r->value = coh_op_perform(&r->op, mem_host(ctx->mem, r->page));
        finish(requests, r, 0);
    } else if (state == COH_PEER_M && ctx->pinned) {
        /* A misaligned LOCK is between its load and its store. */
        return;
    } else if (!r->id || (r->here && state == COH_PEER_M)) {
        operate(requests, r);
    } else if (r->here && is_settled(state)) {
        fetch(requests, r);
    }
}

static void try_give_up(Requests *requests, Request *r, uint8_t state)
{
    int64_t now = get_clock();
    CohEvent ev = {
        .type = COH_EV_EVICT, .from = requests->ctx->node->id,
        .page = r->page,
    };

    r->since_ns = r->since_ns ?: now;
    if (state == COH_PEER_I) {
        finish(requests, r, 0);
        return;
    }
    if (now - r->since_ns > GIVE_UP_END_NS) {
        finish(requests, r, -EBUSY);
        return;
    }
    if (now >= r->due_ns) {
        r->due_ns = now + GIVE_UP_RETRY_NS;
        executor_event(requests->executor, &ev, NULL);
    }
    requests->due_ns = MIN(requests->due_ns, r->due_ns);
}

/* Serve @r as far as possible now. */
static void try_request(Requests *requests, Request *r)
{
    uint8_t state = requests->ctx->node->peer[r->page].state;

    switch (r->kind) {
    case REQUEST_VALID:
        try_valid(requests, r, state);
        break;
    case REQUEST_OPERATE:
        try_operate(requests, r, state);
        break;
    case REQUEST_GIVE_UP:
        try_give_up(requests, r, state);
        break;
    }
}

/* ---------------------------------------------------- requests of one page */

/* A request served, or a state changed, makes more possible. */
static void retry(Requests *requests, CohPage page)
{
    const CohPeer *peer = &requests->ctx->node->peer[page];
    Request *r;

    while ((r = first_request(requests, page))) {
        uint8_t state = peer->state;

        try_request(requests, r);
        if (r == first_request(requests, page) && state == peer->state) {
            break;
        }
    }
}

void requests_add(Requests *requests, Request *r)
{
    GQueue *queue = g_hash_table_lookup(requests->queues, &r->page);

    if (requests->ctx->phase == LANE_FAILED) {
        r->result = -EIO;
        qemu_sem_post(&r->done);
        return;
    }
    if (!queue) {
        queue = g_queue_new();
        g_hash_table_insert(requests->queues,
                            g_memdup2(&r->page, sizeof(r->page)), queue);
    }
    g_queue_push_tail(queue, r);
    /* The requests before it are under way, and go on when the page moves. */
    if (g_queue_peek_head(queue) == r) {
        retry(requests, r->page);
        requests_run_moved(requests);
    }
}

/* All pages whose first request is of @kind. */
static void retry_kind(Requests *requests, RequestKind kind)
{
    g_autoptr(GArray) pages = g_array_new(false, false, sizeof(CohPage));
    GHashTableIter iter;
    gpointer page, queue;

    g_hash_table_iter_init(&iter, requests->queues);
    while (g_hash_table_iter_next(&iter, &page, &queue)) {
        Request *r = g_queue_peek_head(queue);

        if (r->kind == kind) {
            g_array_append_val(pages, r->page);
        }
    }
    for (guint i = 0; i < pages->len; i++) {
        retry(requests, g_array_index(pages, CohPage, i));
    }
    requests_run_moved(requests);
}

void requests_unpinned(Requests *requests)
{
    retry_kind(requests, REQUEST_OPERATE);
}

/* ----------------------------------------------------------------- hooks */

static void requests_moved(void *part, CohPage page)
{
    Requests *requests = part;

    if (g_hash_table_size(requests->queues) &&
        g_hash_table_contains(requests->queues, &page)) {
        g_array_append_val(requests->moved, page);
    }
}

/* The first request of its page, if its operation is that of @ev. */
static Request *operation_of(Requests *requests, const CohEvent *ev)
{
    Request *r = first_request(requests, ev->page);

    return r && r->id && r->id == ev->have ? r : NULL;
}

static bool requests_answered(void *part, const CohEvent *ev, uint64_t value)
{
    Requests *requests = part;
    Request *r = operation_of(requests, ev);

    if (r) {
        r->value = value;
        finish(requests, r, 0);
    }
    return r;
}

static bool requests_refused(void *part, const CohEvent *ev)
{
    Request *r = operation_of(part, ev);

    if (r) {
        r->here = true;
    }
    return r;
}

const PageHooks requests_hooks = {
    .moved = requests_moved,
    .answered = requests_answered,
    .refused = requests_refused,
};

/* ------------------------------------------------------------------- passes */

void requests_run_moved(Requests *requests)
{
    /* A retry may move pages, of which it is told at the end. */
    for (guint i = 0; i < requests->moved->len; i++) {
        retry(requests, g_array_index(requests->moved, CohPage, i));
    }
    g_array_set_size(requests->moved, 0);
}

bool requests_run_events(Requests *requests)
{
    GQueue *events = &requests->ctx->events;
    bool any = false;
    CohEvent *ev;

    requests_run_moved(requests);
    while ((ev = g_queue_pop_head(events))) {
        deliver_event(requests->deliver, ev, NULL);
        g_free(ev);
        requests_run_moved(requests);
        any = true;
    }
    return any;
}

static bool requests_run(void *part)
{
    Requests *requests = part;

    if (requests->due_ns == INT64_MAX || get_clock() < requests->due_ns) {
        return false;
    }
    requests->due_ns = INT64_MAX;
    retry_kind(requests, REQUEST_GIVE_UP);
    return true;
}

static bool run_events(void *part)
{
    return requests_run_events(part);
}

static int64_t requests_due_ns(void *part)
{
    Requests *requests = part;

    return requests->due_ns;
}

static void requests_fail(void *part)
{
    Requests *requests = part;
    GHashTableIter iter;
    gpointer queue;
    Request *r;

    g_hash_table_iter_init(&iter, requests->queues);
    while (g_hash_table_iter_next(&iter, NULL, &queue)) {
        while ((r = g_queue_pop_head(queue))) {
            r->result = -EIO;
            qemu_sem_post(&r->done);
        }
        g_hash_table_iter_remove(&iter);
    }
    g_array_set_size(requests->moved, 0);
}

const LanePart requests_part = {
    .init = requests_init,
    .free = requests_free,
    .run = requests_run,
    .due_ns = requests_due_ns,
    .fail = requests_fail,
};

const LanePart requests_events_pass = {
    .run = run_events,
};
