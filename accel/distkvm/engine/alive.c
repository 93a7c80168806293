/*
 * distkvm: the engine's part that knows whether it and its peers go on
 *
 * A control connection may live while the data path is gone, and a process
 * while one of its threads hangs.  So liveness is that of frames, page-sized
 * and answered by the engine's thread.
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/clock.h"

/* A lane that looks for work for so long does not sleep between pings. */
#define SPINS_NS SCALE_MS
/* A path may lose what is large and pass what is small. */
static const uint8_t ping_payload[WIRE_PAYLOAD_MAX];

void engine_ping(Engine *e, CohNodeId peer)
{
    const WireFrame frame = {
        .type = WIRE_PING, .sub = WIRE_PING_ASK,
        .len = sizeof(ping_payload), .payload = ping_payload,
    };

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        engine_post(e->all[lane], peer, &frame);
    }
}

void engine_ping_frame(Engine *e, const WireFrame *frame)
{
    EngineAlive *a = &e->alive;
    WireFrame answer = {
        .type = WIRE_PING, .sub = WIRE_PING_ANSWER,
        .ping.woke = a->woken || e->config.spin_ns > SPINS_NS,
        .len = frame->len, .payload = frame->payload,
    };

    if (frame->sub == WIRE_PING_ASK) {
        engine_send(e, frame->from, &answer);
        return;
    }
    qatomic_set(&a->answered_ns[frame->from], host_boottime_ns());
    if (frame->ping.woke && frame->len == sizeof(ping_payload)) {
        qatomic_set(&a->reached[frame->from], true);
    }
}

int64_t engine_answered_ns(Engine *e, CohNodeId peer, unsigned lane)
{
    return qatomic_read(&e->all[lane]->alive.answered_ns[peer]);
}

bool engine_is_reached(Engine *e, CohNodeId peer)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        if (!qatomic_read(&e->all[lane]->alive.reached[peer])) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------- this node's lanes */

static void call_look(Engine *e, void *unused)
{
    qatomic_set(&e->alive.looked, true);
    engine_look_for_late(e, qatomic_read(&e->alive.limit_ns));
}

int engine_hangs(Engine *e, int64_t limit_ns)
{
    int64_t now = host_boottime_ns();

    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        EngineAlive *a = &e->all[lane]->alive;

        if (a->asked_ns && !qatomic_read(&a->looked) &&
            now - a->asked_ns > limit_ns) {
            return lane;
        }
    }
    return -1;
}

void engine_watch(Engine *e, int64_t limit_ns)
{
    for (unsigned lane = 0; lane < e->config.lanes.n; lane++) {
        Engine *one = e->all[lane];
        EngineAlive *a = &one->alive;

        if (a->asked_ns && !qatomic_read(&a->looked)) {
            continue;
        }
        a->asked_ns = host_boottime_ns();
        qatomic_set(&a->limit_ns, limit_ns);
        qatomic_set(&a->looked, false);
        engine_call_for(one, call_look, NULL, 0);
    }
}
