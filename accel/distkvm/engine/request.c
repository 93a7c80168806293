/*
 * distkvm: what threads of this node ask of the engine, page by page
 *
 * A page fault asks by touching; these ask in words: let me read or write the
 * page, do an operation on a word of it wherever it is, give it up.  Wishes for
 * one page are served in order.  An operation goes to the page's owner; where
 * nobody owns it, the page comes here and the operation is done as soon as it
 * has, so it cannot be taken away before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/trace.h"

/* Homes may ignore that somebody would rather not hold a page. */
#define GIVE_UP_RETRY_NS (500 * SCALE_US)
#define GIVE_UP_END_NS (500 * SCALE_MS)

typedef enum {
    WISH_VALID,             /* the page, to read or write it                */
    WISH_OPERATE,           /* an operation on a word                       */
    WISH_GIVE_UP,           /* to hold the page no more                     */
} WishKind;

/* The asking thread's, until it is queued and again when @done is set. */
typedef struct EngineWish {
    WishKind kind;
    CohPage page;
    bool write;
    CohOp op;
    uint32_t tid;
    uint64_t id;            /* of an operation under way; 0: none           */
    bool here;              /* nobody else can do it                        */
    int64_t since_ns, due_ns;
    int result;
    uint64_t value;
    QemuSemaphore done;
} EngineWish;

static EngineWish *first_wish(Engine *e, CohPage page)
{
    GQueue *queue = g_hash_table_lookup(e->wishes, &page);

    return queue ? g_queue_peek_head(queue) : NULL;
}

/* The first wish of its page is fulfilled, or never will be. */
static void finish(Engine *e, EngineWish *w, int result)
{
    CohPage page = w->page;
    GQueue *queue = g_hash_table_lookup(e->wishes, &page);

    g_queue_pop_head(queue);
    if (g_queue_is_empty(queue)) {
        g_hash_table_remove(e->wishes, &page);
    }
    w->result = result;
    /* From here on it is the asking thread's again. */
    qemu_sem_post(&w->done);
}

static void fetch(Engine *e, EngineWish *w)
{
    MemFault fault = { .page = w->page, .write = w->write, .tid = w->tid };

    faults_take(&e->faults, &fault);
}

static void operate(Engine *e, EngineWish *w)
{
    CohEvent ev = {
        .type = COH_EV_OPERATE, .from = e->ctx.node->id, .page = w->page,
        .op = w->op,
    };

    w->id = ev.have = ++e->wish_id;
    executor_event(&e->executor, &ev, NULL);
}

static void give_up(Engine *e, EngineWish *w, int64_t now)
{
    CohEvent ev = {
        .type = COH_EV_EVICT, .from = e->ctx.node->id, .page = w->page,
    };

    if (now >= w->due_ns) {
        w->due_ns = now + GIVE_UP_RETRY_NS;
        executor_event(&e->executor, &ev, NULL);
    }
    e->wish_due_ns = MIN(e->wish_due_ns, w->due_ns);
}

/* Do what can be done for it now. */
static void pursue(Engine *e, EngineWish *w)
{
    uint8_t state = e->ctx.node->peer[w->page].state;
    bool readable = state == COH_PEER_M || state == COH_PEER_S;
    bool valid = w->write ? state == COH_PEER_M : readable;
    bool settled = readable || state == COH_PEER_I;
    int64_t now;

    switch (w->kind) {
    case WISH_VALID:
        if (valid) {
            finish(e, w, 0);
        } else if (settled) {
            fetch(e, w);
        }
        break;
    case WISH_OPERATE:
        if (state == COH_PEER_S && !w->write && (!w->id || w->here)) {
            w->value = coh_op_perform(&w->op, mem_host(e->ctx.mem, w->page));
            finish(e, w, 0);
        } else if (state == COH_PEER_M && e->ctx.pinned) {
            /* A misaligned LOCK is between its load and its store. */
            break;
        } else if (!w->id || (w->here && state == COH_PEER_M)) {
            operate(e, w);
        } else if (w->here && settled) {
            fetch(e, w);
        }
        break;
    case WISH_GIVE_UP:
        now = get_clock();
        w->since_ns = w->since_ns ?: now;
        if (state == COH_PEER_I) {
            finish(e, w, 0);
        } else if (now - w->since_ns > GIVE_UP_END_NS) {
            finish(e, w, -EBUSY);
        } else {
            give_up(e, w, now);
        }
        break;
    }
}

void engine_pursue_wishes(Engine *e, CohPage page)
{
    EngineWish *w;
    uint8_t state;

    /* What is done for one may complete it, and makes the next possible. */
    if (e->pursuing) {
        return;
    }
    e->pursuing = true;
    while ((w = first_wish(e, page))) {
        state = e->ctx.node->peer[page].state;
        pursue(e, w);
        if (w == first_wish(e, page) && state == e->ctx.node->peer[page].state) {
            break;
        }
    }
    e->pursuing = false;
}

/* All pages whose first wish is of a kind. */
static void pursue_kind(Engine *e, WishKind kind)
{
    g_autofree gpointer *pages = NULL;
    guint n;

    if (!g_hash_table_size(e->wishes)) {
        return;
    }
    pages = g_hash_table_get_keys_as_array(e->wishes, &n);
    for (guint i = 0; i < n; i++) {
        pages[i] = g_memdup2(pages[i], sizeof(CohPage));
    }
    for (guint i = 0; i < n; i++) {
        EngineWish *w = first_wish(e, *(CohPage *)pages[i]);

        if (w && w->kind == kind) {
            engine_pursue_wishes(e, w->page);
        }
        g_free(pages[i]);
    }
}

bool engine_run_wishes(Engine *e)
{
    if (e->wish_due_ns == INT64_MAX || get_clock() < e->wish_due_ns) {
        return false;
    }
    e->wish_due_ns = INT64_MAX;
    pursue_kind(e, WISH_GIVE_UP);
    return true;
}

void engine_wishes_unpinned(Engine *e)
{
    pursue_kind(e, WISH_OPERATE);
}

static bool request_answered(void *part, const CohEvent *ev,
                             uint64_t value)
{
    Engine *e = part;
    EngineWish *w = first_wish(e, ev->page);

    if (!w || !w->id || w->id != ev->have) {
        return false;
    }
    w->value = value;
    finish(e, w, 0);
    return true;
}

static bool request_refused(void *part, const CohEvent *ev)
{
    Engine *e = part;
    EngineWish *w = first_wish(e, ev->page);

    if (!w || !w->id || w->id != ev->have) {
        return false;
    }
    w->here = true;
    return true;
}

void engine_wishes_fail(Engine *e)
{
    GHashTableIter iter;
    gpointer queue;
    EngineWish *w;

    g_hash_table_iter_init(&iter, e->wishes);
    while (g_hash_table_iter_next(&iter, NULL, &queue)) {
        while ((w = g_queue_pop_head(queue))) {
            w->result = -EIO;
            qemu_sem_post(&w->done);
        }
        g_hash_table_iter_remove(&iter);
    }
}

/* ---------------------------------------------------- the asking thread */

bool engine_has(Engine *e, CohPage page, bool write)
{
    uint8_t state = qatomic_read(&e->ctx.node->peer[page].state);

    return state == COH_PEER_M || (state == COH_PEER_S && !write);
}

void *engine_host(Engine *e, CohPage page)
{
    return mem_host(e->ctx.mem, page);
}

static void call_wish(Engine *e, void *opaque)
{
    EngineWish *w = opaque;
    GQueue *queue = g_hash_table_lookup(e->wishes, &w->page);

    if (e->ctx.phase == LANE_FAILED) {
        w->result = -EIO;
        qemu_sem_post(&w->done);
        return;
    }
    if (!queue) {
        queue = g_queue_new();
        g_hash_table_insert(e->wishes,
                            g_memdup2(&w->page, sizeof(CohPage)), queue);
    }
    g_queue_push_tail(queue, w);
    /* Those before it are under way, and go on when the page moves. */
    if (g_queue_peek_head(queue) == w) {
        engine_pursue_wishes(e, w->page);
    }
}

static int wish(Engine *e, EngineWish *w)
{
    w->tid = qemu_get_thread_id();
    qemu_sem_init(&w->done, 0);
    mailbox_call(&engine_of(e, w->page)->mailbox, call_wish, w, -1);
    qemu_sem_wait(&w->done);
    qemu_sem_destroy(&w->done);
    return w->result;
}

int engine_validate(Engine *e, CohPage page, bool write)
{
    EngineWish w = { .kind = WISH_VALID, .page = page, .write = write };

    return wish(e, &w);
}

typedef struct RangeCall {
    CohPage first;
    unsigned pages;
    bool write;
    uint32_t tid;
} RangeCall;

static void call_range(Engine *e, void *opaque)
{
    RangeCall *c = opaque;

    if (e->ctx.phase == LANE_JOINED) {
        prefetch_range(&e->prefetch, c->first, c->pages, c->write, c->tid);
    }
}

int engine_validate_range(Engine *e, CohPage first, unsigned pages,
                          bool write)
{
    RangeCall c = { first, pages, write, qemu_get_thread_id() };
    int ret = 0;

    for (unsigned lane = 0; lane < e->ctx.config->lanes.n; lane++) {
        mailbox_call(&e->all[lane]->mailbox, call_range, &c, -1);
    }
    for (CohPage page = first; !ret && page < first + pages; page++) {
        ret = engine_has(e, page, write) ? 0
              : engine_validate(e, page, write);
    }
    return ret;
}

int engine_operate(Engine *e, CohPage page, const CohOp *op, uint64_t *old)
{
    EngineWish w = {
        .kind = WISH_OPERATE, .page = page, .op = *op,
        .write = coh_op_writes(op),
    };
    int ret = wish(e, &w);

    *old = w.value;
    return ret;
}

int engine_give_up(Engine *e, CohPage page)
{
    EngineWish w = { .kind = WISH_GIVE_UP, .page = page };

    return wish(e, &w);
}

static void request_moved(void *part, CohPage page)
{
    engine_pursue_wishes(part, page);
}

const PageHooks request_hooks = {
    .moved = request_moved,
    .answered = request_answered,
    .refused = request_refused,
};
