/*
 * distkvm: frames and their services
 *
 * The table is written by the main thread before a peer can connect, and
 * constant afterwards.  Spec: docs/architecture.rst, "Services".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "dispatch.h"
#include "rules.h"

/* A frame on its way to the service thread. */
typedef struct Queued {
    const FrameService *service;
    WireFrame frame;
    uint8_t payload[];
} Queued;

static const DispatchHost *host;
static const FrameService *services[WIRE__MAX];

void dispatch_start(const DispatchHost *the_host)
{
    host = the_host;
    memset(services, 0, sizeof(services));
}

void dispatch_register(WireType type, const FrameService *service)
{
    g_assert(rules_know_frame(type));
    g_assert(!services[type]);
    services[type] = service;
}

/* True if @why is NULL; else the sender of @frame is expelled. */
static bool is_right(const WireFrame *frame, const char *name, const char *why)
{
    g_autofree char *text = NULL;

    if (!why) {
        return true;
    }
    text = g_strdup_printf("it sent %s (%s, kind %u)", why, name, frame->sub);
    host->expel(frame->from, text);
    return false;
}

static void serve_queued(void *opaque)
{
    g_autofree Queued *q = opaque;

    is_right(&q->frame, q->service->name, q->service->serve(&q->frame));
}

static void enqueue(const FrameService *service, const WireFrame *frame)
{
    Queued *q = g_malloc(sizeof(*q) + frame->len);

    q->service = service;
    q->frame = *frame;
    if (frame->len) {
        memcpy(q->payload, frame->payload, frame->len);
    }
    q->frame.payload = q->payload;
    host->queue(serve_queued, q);
}

bool dispatch_frame(const WireFrame *frame)
{
    const FrameService *service = services[frame->type];

    if (!service) {
        return is_right(frame, "no service", "a frame that nobody here serves");
    }
    if (service->check &&
        !is_right(frame, service->name, service->check(frame))) {
        return false;
    }
    if (service->context == FRAME_NOW) {
        return is_right(frame, service->name, service->serve(frame));
    }
    enqueue(service, frame);
    return true;
}
