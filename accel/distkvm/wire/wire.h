/*
 * distkvm: frames, the bytes between nodes
 *
 * A frame is a fixed little-endian head and an optional payload.  Decoding
 * checks every bound and trusts nothing.  Knows neither sockets nor UCX nor
 * what a page means.  Spec: docs/wire-format.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_WIRE_H
#define DISTKVM_WIRE_H

#include "accel/distkvm/core/coh-types.h"

/* Raised by any change of frames or of what they mean. */
#define WIRE_VERSION 5
#define WIRE_HEAD_BYTES 48
#define WIRE_PAYLOAD_MAX COH_PAGE_SIZE
#define WIRE_FRAME_MAX (WIRE_HEAD_BYTES + WIRE_PAYLOAD_MAX)
/*
 * Frames that travel together, one behind the other: four pages.  Twice what
 * UCX's transports send at once, unless told otherwise, but over TCP a message
 * costs more than a page; of more the first would wait too long for the last.
 */
#define WIRE_BUNCH_MAX 16600

typedef enum {
    WIRE_INVALID,
    WIRE_COH,       /* @sub: CohEventType; @addr: page                      */
    WIRE_IRQ,       /* @sub: WireIrq; @arg: vCPU index; @addr: vector       */
    WIRE_EOI,       /* @arg: vector of a level interrupt                    */
    WIRE_IO,        /* access to a device: @addr, @sub flags, @arg vCPU     */
    WIRE_IO_REPLY,  /* @id of the access, @arg MemTxResult, data in payload */
    WIRE_TOKEN,     /* @sub: WireToken, of misaligned LOCKs                 */
    WIRE_PING,      /* @sub: WirePing; shows that frames pass this lane     */
    WIRE_LATE,      /* @sub: WireLate; @addr: page; the payload names the   */
                    /* nodes that have done their part                      */
    WIRE__MAX
} WireType;

typedef enum {
    WIRE_IRQ_FIXED = 1, /* @addr: vector, bit 8 set if level-triggered      */
    WIRE_IRQ_INIT,
    WIRE_IRQ_SIPI,      /* @addr: start-up vector                           */
    WIRE_IRQ_NMI,
    WIRE_IRQ_SMI,
    WIRE_IRQ_MCE,
    WIRE_IRQ_PIC,       /* the 8259's output: @arg: level, @addr: its number */
} WireIrq;

typedef enum {
    WIRE_TOKEN_TAKE = 1,
    WIRE_TOKEN_GRANT,
    WIRE_TOKEN_RELEASE,
} WireToken;

typedef enum {
    WIRE_PING_ASK = 1,
    WIRE_PING_ANSWER,   /* with the same payload; @arg: 1 if it woke the lane */
} WirePing;

typedef enum {
    WIRE_LATE_MISSED = 1,   /* to its home: the page does not come          */
    WIRE_LATE_AT_IT,        /* back: it is being served                     */
} WireLate;

#define WIRE_IO_WRITE   0x01
#define WIRE_IO_PORT    0x02
#define WIRE_IO_ACK     0x04    /* interrupt acknowledge; nothing else set */

typedef struct WireFrame {
    uint8_t type;           /* WireType                                     */
    uint8_t sub;
    CohNodeId from;
    CohNodeId requester;
    int16_t acks;
    bool zero;              /* the payload, a page, is all zero: left out   */
    uint32_t epoch;         /* counts resets of the guest                   */
    uint32_t arg;
    uint64_t addr;
    uint64_t id;
    int64_t clock_ns;       /* the sender's guest time                      */
    uint32_t len;           /* bytes of payload                             */
    const void *payload;    /* into the caller's buffer                     */
} WireFrame;

/* Write the head of @frame; the payload, if any, follows it on the wire. */
void wire_encode_head(const WireFrame *frame, uint8_t head[WIRE_HEAD_BYTES]);

/*
 * Read a frame of @len bytes at @buf.  False if it is malformed; @frame then
 * holds nothing of use.  @frame->payload points into @buf.
 */
bool wire_decode(const void *buf, size_t len, WireFrame *frame);

/*
 * Read the first of the frames in the *@len bytes at *@buf, and move both
 * behind it.  False if it is malformed; what follows cannot be found then.
 */
bool wire_next(const uint8_t **buf, size_t *len, WireFrame *frame);

#endif
