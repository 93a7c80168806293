/*
 * distkvm: the part of a lane that knows whether it and its peers go on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "alive.h"

/* A lane that looks for work this long does not sleep between pings. */
#define SPINS_NS SCALE_MS
/* A path may lose large frames and pass small ones. */
static const uint8_t ping_payload[COH_PAGE_SIZE];

static void alive_init(void *part, LaneCtx *ctx)
{
    Alive *alive = part;

    alive->ctx = ctx;
}

const WireFrame *alive_question(void)
{
    static const WireFrame question = {
        .type = WIRE_PING, .sub = WIRE_PING_ASK,
        .len = sizeof(ping_payload), .payload = ping_payload,
    };

    return &question;
}

void alive_frame(Alive *alive, const WireFrame *frame)
{
    WireFrame answer = {
        .type = WIRE_PING, .sub = WIRE_PING_ANSWER,
        .ping.woke = alive->woken || alive->ctx->config->spin_ns > SPINS_NS,
        .len = frame->len, .payload = frame->payload,
    };

    if (frame->sub == WIRE_PING_ASK) {
        outbox_send(alive->outbox, frame->from, &answer);
        return;
    }
    qatomic_set(&alive->answered_ns[frame->from], host_boottime_ns());
    if (frame->ping.woke && frame->len == sizeof(ping_payload)) {
        qatomic_set(&alive->reached[frame->from], true);
    }
}

void alive_connected(Alive *alive, CohNodeId peer)
{
    qatomic_set(&alive->reached[peer], false);
}

int64_t alive_answered_ns(const Alive *alive, CohNodeId peer)
{
    return qatomic_read(&alive->answered_ns[peer]);
}

bool alive_is_reached(const Alive *alive, CohNodeId peer)
{
    return qatomic_read(&alive->reached[peer]);
}

/* ---------------------------------------------------------------- orders */

bool alive_order(Alive *alive, int64_t limit_ns)
{
    if (alive->ordered_ns && !qatomic_read(&alive->taken_up)) {
        return false;
    }
    alive->ordered_ns = host_boottime_ns();
    qatomic_set(&alive->limit_ns, limit_ns);
    qatomic_set(&alive->taken_up, false);
    return true;
}

bool alive_hangs(const Alive *alive, int64_t limit_ns)
{
    return alive->ordered_ns && !qatomic_read(&alive->taken_up) &&
           host_boottime_ns() - alive->ordered_ns > limit_ns;
}

int64_t alive_take_up(Alive *alive)
{
    qatomic_set(&alive->taken_up, true);
    return qatomic_read(&alive->limit_ns);
}

const LanePart alive_part = {
    .init = alive_init,
};
