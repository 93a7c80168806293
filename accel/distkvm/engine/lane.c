/*
 * distkvm: a lane is a list of parts
 *
 * A pass of the thread runs the parts in the order of the table.  The thread
 * spins briefly when it runs dry, because a wake-up costs more than the
 * network, then sleeps.  It never takes the BQL and never waits for a peer.
 * Spec: docs/architecture.rst, "Engine".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/timer.h"
#include "lane.h"
#include "accel/distkvm/say.h"

/* A transport may report completions that are handled: arm it again. */
#define ARM_TRIES 4
/* An answer over TCP takes less, unless its sender sleeps deeply. */
#define ANSWER_SPIN_NS (200 * SCALE_US)

/* ------------------------------------------------------ the table of parts */

typedef struct LaneRow {
    const LanePart *part;
    size_t offset;              /* of the part in a Lane */
} LaneRow;

#define ROW(part, field) { &(part), offsetof(Lane, field) }

/* In the order of a pass. */
static const LaneRow rows[] = {
    ROW(connect_part, connect),
    ROW(affinity_part, affinity),
    ROW(mailbox_part, mailbox),
    ROW(inbox_part, inbox),
    ROW(wakeup_pass, wakeup),
    ROW(outbox_cork_pass, outbox),
    ROW(faults_part, faults),
    ROW(requests_events_pass, requests),
    ROW(deliver_part, deliver),
    ROW(faults_deferred_pass, faults),
    ROW(evict_part, evict),
    ROW(codec_part, codec),
    ROW(requests_part, requests),
    ROW(requests_events_pass, requests),
    ROW(outbox_uncork_pass, outbox),
    ROW(wakeup_pass, wakeup),
    /* These have nothing to run. */
    ROW(alive_part, alive),
    ROW(executor_part, executor),
    ROW(heat_part, heat),
    ROW(late_part, late),
    ROW(outbox_part, outbox),
    ROW(prefetch_part, prefetch),
    ROW(prejoin_part, prejoin),
    ROW(preprotect_part, preprotect),
    ROW(stalled_part, stalled),
    ROW(waiters_part, waiters),
    ROW(wakeup_part, wakeup),
};

static void *part_of(Lane *lane, const LaneRow *row)
{
    return (char *)lane + row->offset;
}

static void init_parts(Lane *lane)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].part->init) {
            rows[i].part->init(part_of(lane, &rows[i]), &lane->ctx);
        }
    }
}

static void free_parts(Lane *lane)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].part->free) {
            rows[i].part->free(part_of(lane, &rows[i]));
        }
    }
}

bool lane_run(Lane *lane)
{
    bool any = false;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].part->run) {
            any |= rows[i].part->run(part_of(lane, &rows[i]));
        }
    }
    return any;
}

int64_t lane_due_ns(Lane *lane)
{
    int64_t due = INT64_MAX;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].part->due_ns) {
            due = MIN(due, rows[i].part->due_ns(part_of(lane, &rows[i])));
        }
    }
    return due;
}

void lane_fail(Lane *lane)
{
    if (lane->ctx.phase == LANE_FAILED) {
        return;
    }
    lane_ctx_fail(&lane->ctx);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].part->fail) {
            rows[i].part->fail(part_of(lane, &rows[i]));
        }
    }
}

/*
 * ---------------------------------------------- which part uses which others
 */

static void wire_executor(Lane *lane, const LaneTables *tables)
{
    lane->codec.pagewalk = &lane->pagewalk;
    lane->late.outbox = &lane->outbox;
    lane->waiters.hold = &lane->hold;
    lane->executor = (Executor) {
        .census = tables->census,
        .codec = &lane->codec, .late = &lane->late, .outbox = &lane->outbox,
        .preprotect = &lane->preprotect, .stalled = &lane->stalled,
        .waiters = &lane->waiters, .wakeup = &lane->wakeup,
        .hook = {
            { &evict_hooks, &lane->evict },
            { &requests_hooks, &lane->requests },
        },
    };
    lane->deliver = (Deliver) {
        .executor = &lane->executor, .hold = &lane->hold,
        .waiters = &lane->waiters,
    };
}

static void wire_faults(Lane *lane, const LaneTables *tables)
{
    lane->heat.faults = tables->page_faults;
    lane->evict = (Evict) {
        .executor = &lane->executor, .hold = &lane->hold,
        .waiters = &lane->waiters, .ring.flags = tables->evict_flags,
    };
    lane->prefetch = (Prefetch) {
        .evict = &lane->evict, .executor = &lane->executor,
        .outbox = &lane->outbox, .pagewalk = &lane->pagewalk,
        .prejoin = &lane->prejoin, .waiters = &lane->waiters,
        .wakeup = &lane->wakeup,
    };
    lane->faults = (Faults) {
        .affinity = &lane->affinity, .evict = &lane->evict,
        .executor = &lane->executor, .heat = &lane->heat,
        .prefetch = &lane->prefetch, .prejoin = &lane->prejoin,
        .waiters = &lane->waiters,
    };
}

static void wire_frames(Lane *lane)
{
    lane->requests = (Requests) {
        .deliver = &lane->deliver, .executor = &lane->executor,
        .faults = &lane->faults,
    };
    lane->alive.outbox = &lane->outbox;
    lane->inbox = (Inbox) {
        .alive = &lane->alive, .codec = &lane->codec,
        .deliver = &lane->deliver, .executor = &lane->executor,
        .faults = &lane->faults, .frames = &lane->frames,
        .late = &lane->late, .outbox = &lane->outbox,
        .preprotect = &lane->preprotect, .requests = &lane->requests,
    };
    lane->mailbox.outbox = &lane->outbox;
    lane->mailbox.lane = lane;
    lane->connect.alive = &lane->alive;
    lane->connect.inbox = &lane->inbox;
}

Lane *lane_new(const LaneCtx *ctx, LaneTables *tables)
{
    Lane *lane = g_new0(Lane, 1);

    lane->ctx = *ctx;
    lane->ctx.node = &tables->node;
    lane_ctx_init(&lane->ctx);
    wire_executor(lane, tables);
    wire_faults(lane, tables);
    wire_frames(lane);
    init_parts(lane);
    return lane;
}

void lane_free(Lane *lane)
{
    free_parts(lane);
    lane_ctx_free(&lane->ctx);
    g_free(lane);
}

/* ---------------------------------------------------------------- thread */

/* How long to look for work before sleeping. */
static int64_t spin_ns(const Lane *lane)
{
    if (lane->affinity.cpu < 0) {
        return lane->ctx.config->spin_ns;
    }
    /* The CPU is that of a thread which waits, or else wants to run. */
    return waiters_count(&lane->waiters) ? ANSWER_SPIN_NS : 0;
}

/* False if there is something to do after all. */
static bool may_sleep(Lane *lane)
{
    Transport *transport = lane->ctx.transport;

    if (!mailbox_is_empty(&lane->mailbox) || qatomic_read(&lane->stop) ||
        wakeup_is_pending(&lane->wakeup)) {
        return false;
    }
    for (int tries = 0; tries < ARM_TRIES; tries++) {
        if (transport->ops->arm(transport)) {
            return true;
        }
        if (transport->ops->poll(transport)) {
            break;
        }
    }
    requests_run_events(&lane->requests);
    return false;
}

static void release_bound_thread(Lane *lane)
{
    uint32_t bound = affinity_bound_thread(&lane->affinity);

    if (bound && !waiters_is_blocked(&lane->waiters, bound)) {
        affinity_idle(&lane->affinity);
    }
}

static void lane_sleep(Lane *lane)
{
    LaneCtx *ctx = &lane->ctx;
    struct pollfd fds[] = {
        { .fd = mem_fd(ctx->mem, ctx->lane), .events = POLLIN },
        { .fd = mailbox_fd(&lane->mailbox), .events = POLLIN },
        { .fd = ctx->transport->ops->wait_fd(ctx->transport),
          .events = POLLIN },
    };
    int64_t due, timeout;

    release_bound_thread(lane);
    ctx->faults_pending = true;
    mailbox_sleeps(&lane->mailbox);
    if (may_sleep(lane)) {
        due = lane_due_ns(lane);
        timeout = due == INT64_MAX ? -1 : MAX(due - get_clock(), 0);
        qemu_poll_ns((GPollFD *)fds, ARRAY_SIZE(fds), timeout);
        faults_polled(&lane->faults, fds[0].revents);
        lane->alive.woken = fds[2].revents;
    }
    mailbox_wakes(&lane->mailbox, fds[1].revents);
}

static void start_affinity(Lane *lane)
{
    const LaneCtx *ctx = &lane->ctx;

    affinity_start(&lane->affinity, ctx->config->affinity);
    if (lane->affinity.denied && !ctx->lane) {
        say_info("distkvm: node %d: this host, or a sandbox, lets no thread"
                 " choose its CPU: affinity=on has no effect", ctx->node->id);
    }
}

static void *lane_thread(void *opaque)
{
    Lane *lane = opaque;
    int64_t idle_since = 0;

    start_affinity(lane);
    while (!qatomic_read(&lane->stop)) {
        bool any = lane_run(lane);
        int64_t spin;

        lane->alive.woken = false;
        if (any) {
            idle_since = 0;
            continue;
        }
        spin = spin_ns(lane);
        if (!spin || (idle_since && get_clock() - idle_since > spin)) {
            lane_sleep(lane);
            idle_since = 0;
        } else if (!idle_since) {
            idle_since = get_clock();
        }
    }
    return NULL;
}

void lane_start(Lane *lane)
{
    qemu_thread_create(&lane->thread, "distkvm-engine", lane_thread, lane,
                       QEMU_THREAD_JOINABLE);
}

void lane_end(Lane *lane)
{
    qatomic_set(&lane->stop, true);
    mailbox_kick(&lane->mailbox);
    qemu_thread_join(&lane->thread);
}
