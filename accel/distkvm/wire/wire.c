/*
 * distkvm: frames, the bytes between nodes
 *
 * Pure.  Spec: docs/wire-format.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "pack.h"
#include "wire.h"

#define WIRE_MAGIC 0x4b44 /* "DK" */
#define BEHIND_HEAD_MAX (WIRE_BODY_MAX + WIRE_PAYLOAD_MAX)

/* As on the wire: the head is written and read for every frame. */
typedef struct Head {
    uint16_t magic;
    uint8_t version;
    uint8_t type;
    uint8_t kind;
    uint8_t zero;
    uint16_t from;
    uint32_t len;
    uint32_t epoch;
    uint64_t clock;
} Head;

G_STATIC_ASSERT(sizeof(Head) == WIRE_HEAD_BYTES);

#define BOUND(member, least, most, text_) \
    { .name = #member, .bytes = sizeof(((Head *)0)->member), .count = 1, \
      .at = offsetof(Head, member), .min = least, .max = most, .text = text_ }

static const WireField head_fields[] = {
    BOUND(magic, WIRE_MAGIC, WIRE_MAGIC, "\"DK\""),
    BOUND(version, WIRE_VERSION, WIRE_VERSION, "raised by any change"),
    BOUND(type, WIRE_INVALID + 1, WIRE__MAX - 1, "of the body, see below"),
    BOUND(kind, 0, UINT64_MAX, "by the type"),
    { .bytes = 1, .count = 1 },
    BOUND(from, 0, COH_NODES_MAX - 1, "number of the sending node"),
    BOUND(len, 0, BEHIND_HEAD_MAX, "bytes of body and payload"),
    BOUND(epoch, 0, UINT64_MAX, "guest resets so far"),
    BOUND(clock, 0, UINT64_MAX, "the sender's guest time in ns, signed"),
};

static const WireLayout head_layout = {
    .name = "head", .text = "Begins every frame.", .fields = head_fields,
    .n = G_N_ELEMENTS(head_fields),
};

const WireLayout *wire_head_layout(void)
{
    return &head_layout;
}

size_t wire_encode(const WireFrame *frame, uint8_t front[WIRE_FRONT_MAX])
{
    size_t body = wire_pack_body(frame, front + WIRE_HEAD_BYTES);
    const Head head = {
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .type = frame->type,
        .kind = frame->sub, .from = frame->from, .len = body + frame->len,
        .epoch = frame->epoch, .clock = frame->clock_ns,
    };

    wire_pack(head_fields, G_N_ELEMENTS(head_fields), &head, front);
    return WIRE_HEAD_BYTES + body;
}

bool wire_next(const uint8_t **buf, size_t *len, WireFrame *frame)
{
    size_t at = 0, body = 0;
    Head head;

    if (!wire_unpack(head_fields, G_N_ELEMENTS(head_fields), *buf, *len, &at,
                     &head) ||
        head.len > *len - at) {
        return false;
    }
    *frame = (WireFrame) {
        .type = head.type, .sub = head.kind, .from = head.from,
        .epoch = head.epoch, .clock_ns = head.clock,
    };
    if (!wire_unpack_body(frame, *buf + at, head.len, &body) ||
        head.len - body > WIRE_PAYLOAD_MAX) {
        return false;
    }
    frame->len = head.len - body;
    frame->payload = *buf + at + body;
    *buf += at + head.len;
    *len -= at + head.len;
    return true;
}

bool wire_decode(const void *buf, size_t len, WireFrame *frame)
{
    const uint8_t *at = buf;

    return wire_next(&at, &len, frame) && !len;
}

uint64_t wire_address(const WireFrame *frame)
{
    switch (frame->type) {
    case WIRE_COH:
        return frame->coh.page;
    case WIRE_LATE:
        return frame->late.page;
    case WIRE_IO:
        return frame->io.addr;
    case WIRE_IRQ:
        return frame->irq.vector;
    default:
        return 0;
    }
}
