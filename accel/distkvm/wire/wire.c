/*
 * distkvm: frames, the bytes between nodes
 *
 * Pure.  Spec: docs/wire-format.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "wire.h"

#define WIRE_MAGIC 0x4b44 /* "DK" */
#define WIRE_FLAG_ZERO 0x01

/* Offsets in the head; docs/wire-format.rst has the same table. */
enum {
    AT_MAGIC = 0,       /* 2 */
    AT_VERSION = 2,     /* 1 */
    AT_TYPE = 3,        /* 1 */
    AT_SUB = 4,         /* 1 */
    AT_FLAGS = 5,       /* 1 */
    AT_FROM = 6,        /* 2 */
    AT_REQUESTER = 8,   /* 2 */
    AT_ACKS = 10,       /* 2 */
    AT_LEN = 12,        /* 4 */
    AT_ADDR = 16,       /* 8 */
    AT_ID = 24,         /* 8 */
    AT_CLOCK = 32,      /* 8 */
    AT_EPOCH = 40,      /* 4 */
    AT_ARG = 44,        /* 4 */
};

static void put(uint8_t *at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = value >> (8 * i);
    }
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

void wire_encode_head(const WireFrame *frame, uint8_t head[WIRE_HEAD_BYTES])
{
    put(head + AT_MAGIC, 2, WIRE_MAGIC);
    put(head + AT_VERSION, 1, WIRE_VERSION);
    put(head + AT_TYPE, 1, frame->type);
    put(head + AT_SUB, 1, frame->sub);
    put(head + AT_FLAGS, 1, frame->zero ? WIRE_FLAG_ZERO : 0);
    put(head + AT_FROM, 2, frame->from);
    put(head + AT_REQUESTER, 2, frame->requester);
    put(head + AT_ACKS, 2, (uint16_t)frame->acks);
    put(head + AT_LEN, 4, frame->len);
    put(head + AT_ADDR, 8, frame->addr);
    put(head + AT_ID, 8, frame->id);
    put(head + AT_CLOCK, 8, frame->clock_ns);
    put(head + AT_EPOCH, 4, frame->epoch);
    put(head + AT_ARG, 4, frame->arg);
}

bool wire_decode(const void *buf, size_t len, WireFrame *frame)
{
    const uint8_t *head = buf;
    uint8_t flags;

    if (len < WIRE_HEAD_BYTES || len > WIRE_FRAME_MAX) {
        return false;
    }
    flags = get(head + AT_FLAGS, 1);
    *frame = (WireFrame) {
        .type = get(head + AT_TYPE, 1),
        .sub = get(head + AT_SUB, 1),
        .from = get(head + AT_FROM, 2),
        .requester = get(head + AT_REQUESTER, 2),
        .acks = (int16_t)get(head + AT_ACKS, 2),
        .zero = flags & WIRE_FLAG_ZERO,
        .len = get(head + AT_LEN, 4),
        .addr = get(head + AT_ADDR, 8),
        .id = get(head + AT_ID, 8),
        .clock_ns = get(head + AT_CLOCK, 8),
        .epoch = get(head + AT_EPOCH, 4),
        .arg = get(head + AT_ARG, 4),
        .payload = head + WIRE_HEAD_BYTES,
    };
    return get(head + AT_MAGIC, 2) == WIRE_MAGIC &&
           get(head + AT_VERSION, 1) == WIRE_VERSION &&
           frame->type > WIRE_INVALID && frame->type < WIRE__MAX &&
           !(flags & ~WIRE_FLAG_ZERO) &&
           frame->from < COH_NODES_MAX &&
           frame->len == len - WIRE_HEAD_BYTES;
}

bool wire_next(const uint8_t **buf, size_t *len, WireFrame *frame)
{
    size_t payload, whole;

    if (*len < WIRE_HEAD_BYTES) {
        return false;
    }
    payload = get(*buf + AT_LEN, 4);
    whole = WIRE_HEAD_BYTES + payload;
    if (payload > WIRE_PAYLOAD_MAX || whole > *len ||
        !wire_decode(*buf, whole, frame)) {
        return false;
    }
    *buf += whole;
    *len -= whole;
    return true;
}
