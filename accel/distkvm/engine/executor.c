/*
 * distkvm: the part of a lane that performs the protocol's actions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/trace.h"
#include "executor.h"

static void executor_init(void *part, LaneCtx *ctx)
{
    Executor *x = part;

    x->ctx = ctx;
    x->pending_data = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                            g_free, g_free);
}

static void executor_free(void *part)
{
    Executor *x = part;

    g_hash_table_unref(x->pending_data);
}

/* ----------------------------------------------------------------- hooks */

static void hook_installed(Executor *x, CohPage page)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->installed) {
            h->hooks->installed(h->part, page);
        }
    }
}

static void hook_changed(Executor *x, CohPage page)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->changed) {
            h->hooks->changed(h->part, page);
        }
    }
}

static void hook_moved(Executor *x, CohPage page)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->moved) {
            h->hooks->moved(h->part, page);
        }
    }
}

static bool hook_answered(Executor *x, const CohEvent *ev, uint64_t value,
                          const void *bytes)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->answered &&
            h->hooks->answered(h->part, ev, value, bytes)) {
            return true;
        }
    }
    return false;
}

static bool hook_refused(Executor *x, const CohEvent *ev)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->refused && h->hooks->refused(h->part, ev)) {
            return true;
        }
    }
    return false;
}

static bool hook_adopt(Executor *x, CohPage page)
{
    for (const ExecutorHooks *h = x->hook; h->hooks; h++) {
        if (h->hooks->adopt && h->hooks->adopt(h->part, page)) {
            return true;
        }
    }
    return false;
}

/* -------------------------------------------------------------- messages */

/* A request names an operation, and the answer the value that it found. */
bool executor_carries_op(uint8_t type)
{
    return type == COH_EV_GETV || type == COH_EV_FWD_GETV ||
           type == COH_EV_VALUE;
}

static void submit_to_self(Executor *x, const WireFrame *frame,
                           const CohOp *op)
{
    CohEvent self = {
        .type = frame->sub, .from = x->ctx->node->id,
        .requester = frame->coh.requester, .acks = frame->coh.acks,
        .page = frame->coh.page, .have = frame->coh.version,
        .epoch = frame->epoch, .op = *op,
    };

    if (frame->len > COH_OP_BYTES) {
        self.bytes = (const uint8_t *)frame->payload + COH_OP_BYTES;
    }

    lane_submit(x->ctx, &self);
}

/* Put @op into @frame, with the bytes of @ev or of the operation here. */
static void put_op(Executor *x, const CohEvent *ev, const CohOp *op,
                   WireFrame *frame)
{
    size_t more = coh_op_payload(op, frame->sub == COH_EV_VALUE);

    coh_op_encode(op, x->op);
    if (more && ev->bytes) {
        memcpy(x->op + COH_OP_BYTES, ev->bytes, more);
    }
    frame->payload = x->op;
    frame->len = COH_OP_BYTES + more;
    frame->epoch = ev->epoch;
}

static void send_message(Executor *x, const CohEvent *ev, const CohDo *d)
{
    LaneCtx *ctx = x->ctx;
    CohOp op = ev->op;
    CohNodeId to = coh_set_next(&d->to, 0);
    WireFrame frame = {
        .type = WIRE_COH, .sub = d->msg,
        .coh = {
            .page = ev->page, .requester = d->requester, .acks = d->acks,
        },
    };

    if (d->data) {
        codec_put_page(x->codec, &frame);
    } else if (d->msg == COH_EV_GETS || d->msg == COH_EV_GETM) {
        frame.coh.version = codec_pin_version(x->codec, ev->page);
    } else {
        frame.coh.version = ev->have;
    }
    if (executor_carries_op(d->msg)) {
        op.operand = d->msg == COH_EV_VALUE ? x->value : op.operand;
        put_op(x, ev, &op, &frame);
    }
    if (d->msg == COH_EV_FWD_GETV && ev->bytes && ev->from != ctx->node->id &&
        to != ctx->node->id) {
        STAT_ADD(ctx, bytes_forwarded, op.length);
    }
    for (; to != COH_NODE_NONE; to = coh_set_next(&d->to, to + 1)) {
        if (to == ctx->node->id) {
            submit_to_self(x, &frame, &op);
        } else {
            STAT_ADD(ctx, sent_by_type[d->msg], 1);
            outbox_send_request(x->outbox, to, &frame);
        }
    }
}

/* ---------------------------------------------------------------- memory */

/*
 * A direct call and no hook, because its order is correctness: the page is
 * gone, then translations to it are outdated, then the requester is answered.
 */
static void page_gone(Executor *x, CohPage page, bool owned)
{
    LaneCtx *ctx = x->ctx;

    STAT_ADD(ctx, pages_resident, -1);
    STAT_ADD(ctx, pages_owned, -(uint64_t)owned);
    census_add(x->census, ctx->node->map, page, -1, -owned);
    STAT_ADD(ctx, invalidations, 1);
    ctx->host->revoked(ctx->opaque, page);
}

static int take_away(Executor *x, const CohEvent *ev, bool owned)
{
    int ret = mem_take(x->ctx->mem, ev->page, owned, x->codec->copy);

    if (!ret) {
        page_gone(x, ev->page, owned);
        codec_copied(x->codec, ev, owned);
    }
    return ret;
}

static int zap(Executor *x, CohPage page, bool owned)
{
    int ret = mem_zap(x->ctx->mem, page);

    page_gone(x, page, owned);
    return ret;
}

static int install(Executor *x, CohPage page, const void *data, bool writable)
{
    LaneCtx *ctx = x->ctx;
    int ret = mem_install(ctx->mem, page, data, writable);

    if (!ret) {
        STAT_ADD(ctx, pages_resident, 1);
        if (ctx->stats.pages_resident > ctx->stats.pages_resident_max) {
            qatomic_set(&ctx->stats.pages_resident_max,
                        ctx->stats.pages_resident);
        }
        STAT_ADD(ctx, pages_owned, writable);
        census_add(x->census, ctx->node->map, page, 1, writable);
        hook_installed(x, page);
    }
    return ret;
}

static int install_pending(Executor *x, CohPage page)
{
    int ret = install(x, page, g_hash_table_lookup(x->pending_data, &page),
                      true);

    g_hash_table_remove(x->pending_data, &page);
    return ret;
}

static int protect(Executor *x, CohPage page, bool writable)
{
    LaneCtx *ctx = x->ctx;

    STAT_ADD(ctx, pages_owned, writable ? 1 : -1);
    census_add(x->census, ctx->node->map, page, 0, writable ? 1 : -1);
    hook_changed(x, page);
    if (!writable && preprotect_has(x->preprotect, page)) {
        return 0;
    }
    return mem_protect(ctx->mem, page, 1, writable);
}

/* ------------------------------------------------------------ operations */

static void move_bytes(Executor *x, const CohEvent *ev)
{
    void *page = mem_host(x->ctx->mem, ev->page);

    x->value = 0;
    if (ev->op.code == COH_OP_GET_BYTES) {
        coh_op_copy(&ev->op, page, x->op + COH_OP_BYTES);
        STAT_ADD(x->ctx, bytes_got_here, ev->op.length);
    } else if (lane_is_too_old(x->ctx, ev->epoch)) {
        x->value = COH_OP_TOO_OLD;
    } else {
        coh_op_copy(&ev->op, page, (void *)ev->bytes);
        STAT_ADD(x->ctx, bytes_put_here, ev->op.length);
    }
}

/* Order of effects: written, then translations outdated, then answered. */
static void operate(Executor *x, const CohEvent *ev)
{
    LaneCtx *ctx = x->ctx;

    if (preprotect_has(x->preprotect, ev->page)) {
        /* This thread must not wait for itself. */
        preprotect_end(x->preprotect);
    }
    if (coh_op_has_bytes(&ev->op)) {
        move_bytes(x, ev);
    } else {
        x->value = coh_op_perform(&ev->op, mem_host(ctx->mem, ev->page));
    }
    STAT_ADD(ctx, operations, 1);
    if (coh_op_writes(&ev->op)) {
        ctx->host->revoked(ctx->opaque, ev->page);
    }
}

static void unsolicited(Executor *x, const CohEvent *ev)
{
    if (ev->from != x->ctx->node->id) {
        lane_lose(x->ctx, ev->from,
                  "it answers an operation that nobody asked for");
    }
}

static void answer(Executor *x, const CohEvent *ev)
{
    bool here = ev->type != COH_EV_VALUE;
    uint64_t value = here ? x->value : ev->op.operand;
    const void *bytes = here ? x->op + COH_OP_BYTES : ev->bytes;

    if (!hook_answered(x, ev, value, bytes)) {
        unsolicited(x, ev);
    }
}

/* --------------------------------------------------------------- actions */

/* @state: the peer state of @ev's page before this step.  0 or -errno. */
static int perform_memory(Executor *x, const CohEvent *ev, const void *data,
                          uint8_t state, CohAct act)
{
    CohPage page = ev->page;
    CohEvent adopt = {
        .type = COH_EV_STORE, .from = x->ctx->node->id, .page = page,
    };

    switch (act) {
    case COH_ACT_INSTALL_RO:
        return install(x, page, data, false);
    case COH_ACT_INSTALL_RW:
        return install(x, page, data, true);
    case COH_ACT_INSTALL_ZERO:
        return install(x, page, NULL, true);
    case COH_ACT_INSTALL_KEPT:
        return install_pending(x, page);
    case COH_ACT_KEEP:
        g_hash_table_insert(x->pending_data, g_memdup2(&page, sizeof(page)),
                            data ? g_memdup2(data, COH_PAGE_SIZE) : NULL);
        return 0;
    case COH_ACT_UNPROTECT:
        return protect(x, page, true);
    case COH_ACT_PROTECT:
        return protect(x, page, false);
    case COH_ACT_COPY:
        memcpy(x->codec->copy, mem_host(x->ctx->mem, page), COH_PAGE_SIZE);
        codec_copied(x->codec, ev, state == COH_PEER_M);
        return 0;
    case COH_ACT_TAKE:
        return take_away(x, ev, state == COH_PEER_M);
    case COH_ACT_OPERATE:
        operate(x, ev);
        return 0;
    case COH_ACT_ANSWER:
        answer(x, ev);
        return 0;
    case COH_ACT_FETCH:
        if (!hook_refused(x, ev)) {
            unsolicited(x, ev);
        }
        return 0;
    case COH_ACT_ZAP:
        return zap(x, page, state == COH_PEER_M);
    case COH_ACT_WAKE:
        /*
         * A fault not yet read from the userfaultfd is woken when it is read.
         */
        if (ev->type != COH_EV_INSTALLED || x->has_waiter) {
            wakeup_page(x->wakeup, page);
        }
        return 0;
    case COH_ACT_ADOPT:
        if (hook_adopt(x, page)) {
            executor_event(x, &adopt, NULL);
        }
        return 0;
    default:
        g_assert_not_reached();
    }
}

static bool is_installation(CohAct act)
{
    return act == COH_ACT_INSTALL_RO || act == COH_ACT_INSTALL_RW ||
           act == COH_ACT_INSTALL_ZERO || act == COH_ACT_INSTALL_KEPT ||
           act == COH_ACT_UNPROTECT;
}

static void installed(Executor *x, CohPage page)
{
    CohEvent ev = {
        .type = COH_EV_INSTALLED, .from = x->ctx->node->id, .page = page,
    };

    wakeup_installed(x->wakeup, page);
    x->has_waiter = waiters_installed(x->waiters, page);
    codec_unpin_version(x->codec, page);
    executor_event(x, &ev, NULL);
}

/* A fetch begins, or the service of a request: late.h. */
static void note_begin(Executor *x, const CohEvent *ev,
                       const CohActions *acts)
{
    if (acts->home && coh_home_is_busy(acts->next) &&
        !coh_home_is_busy(acts->state)) {
        late_service_begins(x->late, ev->page, ev->from);
    } else if (!acts->home && lane_is_fetching(acts->next) &&
               !lane_is_fetching(acts->state)) {
        late_fetch_begins(x->late, ev->page);
    }
}

static void break_at(Executor *x, const CohEvent *ev, CohAct act, int ret)
{
    g_autofree char *why = g_strdup_printf("page 0x%" PRIx64 ": %s: %s",
                                           ev->page, coh_act_name(act),
                                           strerror(-ret));

    codec_drop_copy(x->codec);
    lane_break(x->ctx, why);
    /* The thread that waits may be the one that is to hear of it. */
    if (x->ctx->phase == LANE_ALONE && is_installation(act)) {
        mem_poison(x->ctx->mem, ev->page);
    }
}

static void perform(Executor *x, const CohEvent *ev, const void *data,
                    const CohActions *acts)
{
    bool complete = false;

    note_begin(x, ev, acts);
    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];
        int ret;

        if (d->act == COH_ACT_NONE) {
            if (acts->home && lane_is_for_holder(d->msg)) {
                late_asked(x->late, ev->page, &d->to);
            }
            send_message(x, ev, d);
            continue;
        }
        ret = perform_memory(x, ev, data, acts->state, d->act);
        if (ret < 0) {
            break_at(x, ev, d->act, ret);
            return;
        }
        complete |= is_installation(d->act);
    }
    codec_store_sent(x->codec, ev->page);
    if (complete) {
        installed(x, ev->page);
    }
}

/* ---------------------------------------------------------------- events */

static void trace_step(const Executor *x, const CohEvent *ev,
                       const CohActions *acts, CohStatus status)
{
    trace_distkvm_coh_step(x->ctx->node->id, ev->page,
                           coh_event_name(ev->type), ev->from, ev->requester,
                           ev->acks,
                           acts->home ? coh_home_state_name(acts->state)
                                      : coh_peer_state_name(acts->state),
                           acts->home ? coh_home_state_name(acts->next)
                                      : coh_peer_state_name(acts->next),
                           status);
}

void executor_event(Executor *x, const CohEvent *ev, const void *data)
{
    LaneCtx *ctx = x->ctx;
    CohActions acts;
    CohStatus status = coh_step(ctx->node, ev, &acts);

    trace_step(x, ev, &acts, status);
    switch (status) {
    case COH_OK:
        perform(x, ev, data, &acts);
        if (!acts.home) {
            hook_moved(x, ev->page);
        } else if (ev->type == COH_EV_DONE ||
                   (ev->type == COH_EV_GETV &&
                    !coh_home_is_busy(acts.next))) {
            stalled_next(x->stalled, ev->page);
        }
        break;
    case COH_STALLED:
        stalled_add(x->stalled, ev);
        break;
    case COH_BROKEN:
        if (ev->from != ctx->node->id && ev->from < ctx->config->map->nodes) {
            lane_lose(ctx, ev->from, acts.why);
        } else {
            lane_break(ctx, acts.why);
        }
        break;
    }
}

const LanePart executor_part = {
    .init = executor_init,
    .free = executor_free,
};
