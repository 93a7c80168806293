/*
 * distkvm: frames and their bodies
 *
 * One struct for each type of frame.  Tables in body.c give each member its
 * bytes and bounds; they pack, unpack, and print docs/wire-frames.rst.  An
 * unpacked body is within its bounds.  After WireGuard's messages.h: every
 * message is a struct, and all of them stand in one header.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_BODY_H
#define DISTKVM_BODY_H

#include "accel/distkvm/core/coh-types.h"

typedef enum {
    WIRE_INVALID,
    WIRE_COH,           /* kind: CohEventType                               */
    WIRE_IRQ,           /* kind: WireIrqKind                                */
    WIRE_EOI,
    WIRE_IO,            /* kind: WireIoKind                                 */
    WIRE_IO_REPLY,
    WIRE_TOKEN,         /* kind: WireTokenKind; no body                     */
    WIRE_PING,          /* kind: WirePingKind                               */
    WIRE_LATE,          /* kind: WireLateKind                               */
    WIRE_PIC,
    WIRE_PIC_ACK,
    WIRE_PIC_VECTOR,
    WIRE_FLUSH,         /* kind: WireFlushKind                              */
    WIRE_PCI_CONFIG,    /* kind: WireIoKind                                 */
    WIRE_PCI_CHANGED,
    WIRE_PCI_LINE,
    WIRE_PCI_RESET,
    WIRE_PCI_MSI,
    WIRE__MAX
} WireType;

typedef enum {
    WIRE_IRQ_FIXED = 1,
    WIRE_IRQ_INIT,
    WIRE_IRQ_SIPI,
    WIRE_IRQ_NMI,
    WIRE_IRQ_SMI,
    WIRE_IRQ_MCE,
} WireIrqKind;

typedef enum {
    WIRE_IO_READ = 1,
    WIRE_IO_WRITE,
} WireIoKind;

typedef enum {
    WIRE_SPACE_MEMORY,
    WIRE_SPACE_PORTS,
    WIRE_SPACE__MAX
} WireSpace;

typedef enum {
    WIRE_TOKEN_TAKE = 1,
    WIRE_TOKEN_GRANT,
    WIRE_TOKEN_RELEASE,
} WireTokenKind;

typedef enum {
    WIRE_PING_ASK = 1,
    WIRE_PING_ANSWER,   /* with the same payload                            */
} WirePingKind;

typedef enum {
    WIRE_LATE_MISSED = 1,   /* to the page's home: the page does not come   */
    WIRE_LATE_AT_IT,        /* back: it is being served                     */
} WireLateKind;

typedef enum {
    WIRE_FLUSH_ASK = 1,     /* answer when the count has been served        */
    WIRE_FLUSH_SERVED,
} WireFlushKind;

/* The payload is a page or a difference, a list of pages, or an operation. */
typedef struct WireCoh {
    CohPage page;
    uint64_t version;   /* of the contents sent, or that the requester has; */
                        /* of an operation: its number                      */
    uint16_t more;      /* pages in the list behind this one                */
    CohNodeId requester;
    int16_t acks;       /* acknowledgements to wait for                     */
    bool zero;          /* the page is all zero, and left out               */
} WireCoh;

typedef struct WireIrq {
    uint32_t cpu;       /* its index                                        */
    uint8_t vector;     /* of FIXED and SIPI                                */
    bool level;         /* triggered by level, not by edge                  */
} WireIrq;

typedef struct WireEoi {
    uint8_t vector;     /* of the level interrupt that has ended            */
} WireEoi;

#define WIRE_IO_BYTES_MAX 8
#define WIRE_IO_NO_CPU UINT32_MAX

/* A frame that asks for an answer, and the answer, begin with the call. */
typedef struct WireIo {
    uint64_t call;
    uint64_t addr;
    uint64_t data;      /* written; the first byte is the lowest            */
    uint32_t cpu;       /* index of the vCPU, or WIRE_IO_NO_CPU             */
    uint8_t space;      /* WireSpace                                        */
    uint8_t size;       /* bytes                                            */
} WireIo;

typedef struct WireIoReply {
    uint64_t call;
    uint64_t data;      /* read, as above                                   */
    uint32_t result;    /* MemTxResult                                      */
    uint64_t irqs;      /* a read: frames of interrupts before its answer   */
} WireIoReply;

typedef struct WirePing {
    bool woke;          /* of the answer: the ping woke the lane's thread   */
} WirePing;

typedef struct WireLate {
    CohPage page;
    CohNodeSet heard;   /* nodes that have done their part                  */
} WireLate;

typedef struct WirePic {
    uint32_t seq;       /* changes of the 8259's output so far              */
    bool level;         /* the output                                       */
} WirePic;

typedef struct WirePicAck {
    uint64_t call;
} WirePicAck;

typedef struct WirePicVector {
    uint64_t call;
    uint32_t seq;       /* as of WirePic, when the vector was taken         */
    uint8_t vector;
    bool level;
} WirePicVector;

typedef struct WireFlush {
    uint64_t count;     /* frames of interrupts, one way, since the start   */
} WireFlush;

#define WIRE_PCI_CONFIG_BYTES 4096

/* The payload of the answer is a list of changes. */
typedef struct WirePciConfig {
    uint64_t call;
    uint64_t generation;    /* of the slot: as in WirePciLine               */
    uint32_t data;      /* written, or of the answer: read                  */
    uint16_t addr;      /* of the first byte                                */
    uint8_t devfn;      /* slot and function, at the owner                  */
    uint8_t size;       /* bytes                                            */
} WirePciConfig;

typedef struct WirePciLine {
    uint64_t generation;    /* counts the devices that the slot has had     */
    uint8_t devfn;
    bool level;
} WirePciLine;

typedef struct WirePciMsi {
    uint64_t generation;    /* as in WirePciLine                            */
    uint32_t addr;
    uint32_t data;
    uint8_t devfn;          /* slot and function, at the owner              */
} WirePciMsi;

typedef struct WireFrame {
    uint8_t type;           /* WireType                                     */
    uint8_t sub;            /* kind, by the type                            */
    CohNodeId from;
    uint32_t epoch;         /* counts resets of the guest                   */
    int64_t clock_ns;       /* the sender's guest time                      */
    union {                 /* body, by the type                            */
        WireCoh coh;
        WireIrq irq;
        WireEoi eoi;
        WireIo io;
        WireIoReply io_reply;
        WirePing ping;
        WireLate late;
        WirePic pic;
        WirePicAck pic_ack;
        WirePicVector pic_vector;
        WireFlush flush;
        WirePciConfig pci_config;
        WirePciLine pci_line;
        WirePciMsi pci_msi;
        uint64_t call;      /* of a call, and of its answer                 */
    };
    uint32_t len;           /* bytes of payload                             */
    const void *payload;    /* into the caller's buffer                     */
} WireFrame;

/* ------------------------------------------------------------- the tables */

/* Of the largest body: WireIo, or WireLate where sets of nodes are large. */
#define WIRE_BODY_MAX (32 + sizeof(CohNodeSet))

/* A member: pack.h. */
typedef struct WireField WireField;

typedef struct WireKind {
    uint8_t kind;
    const char *text;
} WireKind;

/* The layout of the bodies of one type, or of every head. */
typedef struct WireLayout {
    const char *name;
    const char *text;
    const WireField *fields;
    unsigned n;
    const WireKind *kinds;  /* ends with a text of NULL; NULL: kind is 0    */
} WireLayout;

/* Pages in the list behind a page, at most. */
#define WIRE_MORE_MAX 127

/* Of frames of @type (below WIRE__MAX), at offsets in WireFrame. */
const WireLayout *wire_layout(uint8_t type);
/* Write the body of @frame to @bytes, by its type; how many bytes. */
size_t wire_pack_body(const WireFrame *frame, uint8_t *bytes);
/*
 * Read the body of @frame, by its type, from the @len bytes at @bytes, and say
 * in *@used how many they are.  False: a member is out of its bounds, or cut
 * off.
 */
bool wire_unpack_body(WireFrame *frame, const uint8_t *bytes, size_t len,
                      size_t *used);

#endif
