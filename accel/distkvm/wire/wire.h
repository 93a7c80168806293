/*
 * distkvm: frames, the bytes between nodes
 *
 * A frame is a head, which all have, a body, which its type has (body.h), and a
 * payload.  Decoding checks every bound and trusts nothing.  Knows neither
 * sockets nor UCX nor the meaning of a page.
 * Spec: docs/wire-format.rst, docs/wire-frames.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_WIRE_H
#define DISTKVM_WIRE_H

#include "accel/distkvm/core/coh-op.h"
#include "body.h"

/* Raised by any change of frames or of their meaning. */
#define WIRE_VERSION 16
#define WIRE_HEAD_BYTES 24
/* An operation and a page of bytes. */
#define WIRE_PAYLOAD_MAX (COH_OP_BYTES + COH_PAGE_SIZE)
/* A head and a body, and with them a payload: as much as can be. */
#define WIRE_FRONT_MAX (WIRE_HEAD_BYTES + WIRE_BODY_MAX)
#define WIRE_FRAME_MAX (WIRE_FRONT_MAX + WIRE_PAYLOAD_MAX)
/*
 * Bytes of frames that travel together: four pages, or four operations on as
 * many bytes.  More than UCX's default segment, yet cheaper over TCP; with
 * more, the first page waits too long.
 */
#define WIRE_BUNCH_MAX 16700

/*
 * Write head and body of @frame, and return their bytes; the payload, if any,
 * follows them on the wire.
 */
size_t wire_encode(const WireFrame *frame, uint8_t front[WIRE_FRONT_MAX]);

/*
 * Read a frame of @len bytes at @buf.  False if it is malformed; @frame then
 * holds nothing of use.  @frame->payload points into @buf.
 */
bool wire_decode(const void *buf, size_t len, WireFrame *frame);

/*
 * Read the first of the frames in the *@len bytes at *@buf, and move both
 * behind it.  False if it is malformed; the frames behind it are unknown then.
 */
bool wire_next(const uint8_t **buf, size_t *len, WireFrame *frame);

/* The page, address, or vector that @frame is about, else 0: for traces. */
uint64_t wire_address(const WireFrame *frame);
/* Of every frame. */
const WireLayout *wire_head_layout(void);

#endif
