/*
 * distkvm: the part of a lane that serves requests of this node's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/say.h"
#include "request.h"

/* A home may ignore a hint to take a page: it is repeated after this... */
#define GIVE_UP_RETRY_NS (500 * SCALE_US)
/* ...for this long. */
#define GIVE_UP_END_NS (500 * SCALE_MS)
/* An operation is overdue after this number of late.h's limits... */
#define OVERDUE_LIMITS 2
/* ...if two looks find it so: this process may have been stopped before one. */
#define LOOKS_MIN 2

QEMU_BUILD_BUG_ON(REQUEST_COPIES_MAX > STALLED_PUTS_MAX);

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
    requests->overdue = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                              g_free, g_free);
    g_queue_init(&requests->starved);
}

static void requests_free(void *part)
{
    Requests *requests = part;

    g_hash_table_unref(requests->queues);
    g_array_unref(requests->moved);
    g_queue_clear_full(&requests->starved, g_free);
    g_hash_table_unref(requests->overdue);
}

/* -------------------------------------------------------------- one request */

static Request *first_request(Requests *requests, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(requests->queues, &page);

    return queue ? g_queue_peek_head(queue) : NULL;
}

/* From here on @r is the asking thread's again. */
static void give_back(Request *r, int result)
{
    r->result = result;
    request_group_done(r->group);
}

/*
 * There is room for the copy of another page, which is to be tried.  It may
 * need no room any more, so the next one is to be tried after it; if it needs
 * some and there is none, it starves once more.
 */
static bool wake_starved(Requests *requests)
{
    CohPage *page;
    bool woken = false;

    while (!woken && requests->copies < REQUEST_COPIES_MAX &&
           (page = g_queue_pop_head(&requests->starved))) {
        Request *r = first_request(requests, *page);

        woken = r && r->starved;
        if (woken) {
            r->starved = false;
            g_array_append_val(requests->moved, *page);
        }
        g_free(page);
    }
    return woken;
}

/* @r is no copy under way any more. */
static void copy_ends(Requests *requests, Request *r)
{
    requests->copies -= r->copies;
    r->copies = false;
}

/* True if @r, which has bytes, has to wait for other copies. */
static bool is_starved(Requests *requests, Request *r)
{
    if (requests->copies < REQUEST_COPIES_MAX) {
        r->copies = true;
        r->starved = false;
        requests->copies++;
        return false;
    }
    if (!r->starved) {
        r->starved = true;
        g_queue_push_tail(&requests->starved,
                          g_memdup2(&r->page, sizeof(r->page)));
    }
    return true;
}

/* Those of one reset earlier: each reset waits for its own. */
static void look_for_settled(Requests *requests)
{
    unsigned last = (lane_epoch(requests->ctx) - 1) & 1;

    if (requests->settling && !requests->filling[last]) {
        request_group_done(requests->settling);
        requests->settling = NULL;
    }
}

void requests_settle(Requests *requests, RequestGroup *group)
{
    requests->settling = group;
    look_for_settled(requests);
}

static void filling_ends(Requests *requests, const Request *r)
{
    if (r->filled) {
        requests->filling[r->epoch & 1]--;
        look_for_settled(requests);
    }
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
    copy_ends(requests, r);
    filling_ends(requests, r);
    give_back(r, result);
}

static void fetch(Requests *requests, const Request *r)
{
    MemFault fault = {
        .page = r->page, .write = r->write, .tid = r->tid,
        .alone = coh_op_has_bytes(&r->op),
    };

    faults_take(requests->faults, &fault);
}

/* Does @r overwrite its page? */
static bool is_whole(const Request *r)
{
    return r->op.code == COH_OP_PUT_BYTES && r->op.length == COH_PAGE_SIZE;
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

static void operate(Requests *requests, Request *r, uint8_t state)
{
    CohEvent ev = {
        .type = COH_EV_OPERATE, .from = requests->ctx->node->id,
        .page = r->page, .op = r->op, .epoch = r->epoch,
    };

    /* A page that is owned is operated on at once, and no node waits. */
    if (coh_op_has_bytes(&r->op) && state != COH_PEER_M &&
        is_starved(requests, r)) {
        return;
    }
    if (r->op.code == COH_OP_PUT_BYTES) {
        ev.bytes = r->bytes;
    }
    r->id = ev.have = op_number_take(&requests->numbers);
    r->since_ns = get_clock();
    r->looks = 0;
    r->came |= r->here;
    r->here = r->fill = r->overdue = false;
    executor_event(requests->executor, &ev, NULL);
}

/* @r only reads, and a copy of its page is here. */
static void read_copy(Requests *requests, Request *r)
{
    void *page = mem_host(requests->ctx->mem, r->page);

    if (coh_op_has_bytes(&r->op)) {
        coh_op_copy(&r->op, page, r->bytes);
    } else {
        r->value = coh_op_perform(&r->op, page);
    }
    finish(requests, r, 0);
}

/* Was the operation of @r sent, so that doing it again would be wrong? */
static bool is_once(const Request *r)
{
    return r->overdue && r->write && !coh_op_has_bytes(&r->op);
}

/*
 * @r shall be done here, as it was asked, or as its page had no owner.  False:
 * not by filling the page.
 */
static bool try_fill(Requests *requests, Request *r, uint8_t state)
{
    if (r->filled) {
        if (is_settled(state)) {
            finish(requests, r, 0);
        }
        return true;
    }
    r->here |= r->fill;
    if (r->here && state == COH_PEER_I && is_whole(r)) {
        r->filled = !lane_is_too_old(requests->ctx, r->epoch) &&
                    faults_fill(requests->faults, r->page, r->bytes);
        requests->filling[r->epoch & 1] += r->filled;
        /* If there is no room, the bytes go to where the page is. */
        r->here &= r->filled || !r->fill;
        r->fill = false;
    }
    return r->filled;
}

static void try_operate(Requests *requests, Request *r, uint8_t state)
{
    LaneCtx *ctx = requests->ctx;

    if (try_fill(requests, r, state)) {
        return;
    }
    /* The home serves one operation of a node on a page at a time. */
    r->here |= !r->id && g_hash_table_contains(requests->overdue, &r->page);
    if (state == COH_PEER_S && !r->write && (!r->id || r->here)) {
        read_copy(requests, r);
    } else if (state == COH_PEER_M && lane_is_locked(ctx, r->page)) {
        /* A misaligned LOCK is between its load and its store. */
        return;
    } else if (state == COH_PEER_M && is_once(r)) {
        finish(requests, r, -ETIMEDOUT);
    } else if (r->here ? state == COH_PEER_M : !r->id) {
        operate(requests, r, state);
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
        give_back(r, -EIO);
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

static bool is_overdue(Request *r, int64_t limit_ns)
{
    return r->kind == REQUEST_OPERATE && r->id && !r->here &&
           get_clock() - r->since_ns > OVERDUE_LIMITS * limit_ns &&
           ++r->looks >= LOOKS_MIN;
}

/* The page of @r comes, and a late answer is no crime. */
static void take_up(Requests *requests, Request *r)
{
    r->here = r->came = r->overdue = true;
    copy_ends(requests, r);
    g_hash_table_insert(requests->overdue, g_memdup2(&r->page, sizeof(r->page)),
                        g_memdup2(&r->id, sizeof(r->id)));
    g_array_append_val(requests->moved, r->page);
}

void requests_look(Requests *requests, int64_t limit_ns)
{
    unsigned overdue = 0;
    GHashTableIter iter;
    gpointer queue;

    g_hash_table_iter_init(&iter, requests->queues);
    while (g_hash_table_iter_next(&iter, NULL, &queue)) {
        Request *r = g_queue_peek_head(queue);

        if (is_overdue(r, limit_ns)) {
            take_up(requests, r);
            overdue++;
        }
    }
    if (overdue) {
        say_warning("distkvm: %u operations at pages' owners have not been"
                    " answered for %" PRId64 " ms: the pages are fetched",
                    overdue, OVERDUE_LIMITS * limit_ns / SCALE_MS);
    }
    requests_run_moved(requests);
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

/*
 * The first request of its page, if its operation is that of @ev; a sender that
 * was not asked does not know the number (op-number.h).
 */
static Request *operation_of(Requests *requests, const CohEvent *ev)
{
    Request *r = first_request(requests, ev->page);

    return r && r->id && r->id == ev->have ? r : NULL;
}

/* Does @ev, of a peer, answer with the bytes that @r asked for? */
static bool fits(const Request *r, const CohEvent *ev)
{
    return !coh_op_has_bytes(&r->op) ||
           (ev->op.code == r->op.code && ev->op.length == r->op.length);
}

/* Does @ev answer an operation that was not waited for any more? */
static bool overdue_ends(Requests *requests, const CohEvent *ev)
{
    const uint64_t *id = g_hash_table_lookup(requests->overdue, &ev->page);

    return id && *id == ev->have &&
           g_hash_table_remove(requests->overdue, &ev->page);
}

static bool requests_answered(void *part, const CohEvent *ev, uint64_t value,
                              const void *bytes)
{
    Requests *requests = part;
    Request *r = operation_of(requests, ev);
    bool overdue = overdue_ends(requests, ev);

    if (!r || !fits(r, ev)) {
        return !r && overdue;
    }
    if (r->filled) {
        /* The bytes come once more, and not after the call has returned. */
        return true;
    }
    if (r->op.code == COH_OP_GET_BYTES) {
        memcpy(r->bytes, bytes, r->op.length);
    }
    r->value = value;
    finish(requests, r, r->op.code == COH_OP_PUT_BYTES &&
           value == COH_OP_TOO_OLD ? -ECANCELED : 0);
    return true;
}

static bool requests_refused(void *part, const CohEvent *ev)
{
    Requests *requests = part;
    Request *r = operation_of(requests, ev);
    bool overdue = overdue_ends(requests, ev);

    if (r) {
        r->here = r->came = true;
        r->overdue = false;
        copy_ends(requests, r);
    }
    return r || overdue;
}

const PageHooks requests_hooks = {
    .moved = requests_moved,
    .answered = requests_answered,
    .refused = requests_refused,
};

/* ------------------------------------------------------------------- passes */

void requests_run_moved(Requests *requests)
{
    do {
        /* A retry may move pages, of which it is told at the end. */
        for (guint i = 0; i < requests->moved->len; i++) {
            retry(requests, g_array_index(requests->moved, CohPage, i));
        }
        g_array_set_size(requests->moved, 0);
    } while (wake_starved(requests));
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
            give_back(r, -EIO);
        }
        g_hash_table_iter_remove(&iter);
    }
    requests->copies = 0;
    memset(requests->filling, 0, sizeof(requests->filling));
    look_for_settled(requests);
    g_queue_clear_full(&requests->starved, g_free);
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
