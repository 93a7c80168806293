/*
 * distkvm: the rules of which node may send which frame or message
 *
 * Pure.  Spec: docs/wire-format.rst, "Rules".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "rules.h"

/* Roles, of the sender and of the receiver. */
#define BOOT        1       /* node 0 */
#define FOLLOWER    2
#define ANY         (BOOT | FOLLOWER)

#define KIB (1u << 10)
#define MIB (1u << 20)

typedef struct Rule {
    const char *message;        /* a control message's type; NULL: a frame */
    uint8_t type;               /* WireType */
    uint8_t sub_min, sub_max;
    uint8_t from, to;           /* roles */
    Phase phase;                /* from it on */
    uint32_t len_min, len_max;  /* bytes of payload, or of the message */
    Phase too_late;             /* from it on; 0: never */
} Rule;

#define FRAME(type_, first, end, from_, to_, phase_, least, most) \
    { .type = type_, .sub_min = first, .sub_max = end, .from = from_, \
      .to = to_, .phase = phase_, .len_min = least, .len_max = most }

static const Rule rules[] = {
    /* frames */
    FRAME(WIRE_COH, COH_EV_GETS, COH_EV_REFUSE, ANY, ANY, PHASE_KNOWN,
          0, WIRE_PAYLOAD_MAX),
    FRAME(WIRE_IRQ, WIRE_IRQ_FIXED, WIRE_IRQ_MCE, ANY, ANY, PHASE_JOINED,
          0, 0),
    FRAME(WIRE_EOI, 0, 0, FOLLOWER, BOOT, PHASE_FORMED, 0, 0),
    /* To the node that has the device: the memory map says which one. */
    FRAME(WIRE_IO, WIRE_IO_READ, WIRE_IO_WRITE, ANY, ANY, PHASE_JOINED,
          0, 0),
    FRAME(WIRE_IO_REPLY, 0, 0, ANY, ANY, PHASE_JOINED, 0, 0),
    FRAME(WIRE_PIC, 0, 0, BOOT, FOLLOWER, PHASE_JOINED, 0, 0),
    FRAME(WIRE_PIC_ACK, 0, 0, FOLLOWER, BOOT, PHASE_JOINED, 0, 0),
    FRAME(WIRE_PIC_VECTOR, 0, 0, BOOT, FOLLOWER, PHASE_JOINED, 0, 0),
    FRAME(WIRE_FLUSH, WIRE_FLUSH_ASK, WIRE_FLUSH_SERVED, ANY, ANY,
          PHASE_JOINED, 0, 0),
    FRAME(WIRE_PCI_CONFIG, WIRE_IO_READ, WIRE_IO_WRITE, BOOT, FOLLOWER,
          PHASE_FORMED, 0, 0),
    FRAME(WIRE_PCI_CHANGED, 0, 0, FOLLOWER, BOOT, PHASE_FORMED, 0,
          WIRE_PAYLOAD_MAX),
    FRAME(WIRE_PCI_LINE, 0, 0, FOLLOWER, BOOT, PHASE_FORMED, 0, 0),
    FRAME(WIRE_PCI_RESET, 0, 0, BOOT, FOLLOWER, PHASE_FORMED, 0, 0),
    FRAME(WIRE_PCI_MSI, 0, 0, FOLLOWER, BOOT, PHASE_FORMED, 0, 0),
    FRAME(WIRE_TOKEN, WIRE_TOKEN_TAKE, WIRE_TOKEN_TAKE, FOLLOWER, BOOT,
          PHASE_FORMED, 0, 0),
    FRAME(WIRE_TOKEN, WIRE_TOKEN_GRANT, WIRE_TOKEN_GRANT, BOOT, FOLLOWER,
          PHASE_FORMED, 0, 0),
    FRAME(WIRE_TOKEN, WIRE_TOKEN_RELEASE, WIRE_TOKEN_RELEASE, FOLLOWER,
          BOOT, PHASE_FORMED, 0, 0),
    FRAME(WIRE_PING, WIRE_PING_ASK, WIRE_PING_ANSWER, ANY, ANY, PHASE_KNOWN,
          COH_PAGE_SIZE, COH_PAGE_SIZE),
    FRAME(WIRE_LATE, WIRE_LATE_MISSED, WIRE_LATE_AT_IT, ANY, ANY,
          PHASE_JOINED, 0, 0),

    /* joining */
    { "hello", .from = ANY, .to = ANY, .too_late = PHASE_KNOWN,
      .len_max = 16 * KIB },
    { "refuse", .from = ANY, .to = ANY, .too_late = PHASE_JOINED,
      .len_max = 16 * KIB },
    { "lane", .from = FOLLOWER, .to = ANY, .too_late = PHASE_KNOWN,
      .len_max = KIB },
    { "lane-taken", .from = ANY, .to = FOLLOWER, .too_late = PHASE_KNOWN,
      .len_max = KIB },
    { "address", .from = ANY, .to = ANY, .phase = PHASE_KNOWN,
      .too_late = PHASE_JOINED, .len_max = 64 * KIB },
    { "ready", .from = ANY, .to = ANY, .phase = PHASE_KNOWN,
      .too_late = PHASE_JOINED, .len_max = KIB },
    { "reached", .from = ANY, .to = ANY, .phase = PHASE_KNOWN,
      .too_late = PHASE_JOINED, .len_max = KIB },

    /* membership */
    { "ping", .from = ANY, .to = ANY, .phase = PHASE_KNOWN, .len_max = KIB },
    { "pong", .from = ANY, .to = ANY, .phase = PHASE_KNOWN, .len_max = KIB },
    { "lost", .from = ANY, .to = ANY, .phase = PHASE_JOINED,
      .len_max = 16 * KIB },
    { "end", .from = ANY, .to = ANY, .phase = PHASE_JOINED, .len_max = KIB },

    /* state that all nodes share */
    { "map", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = MIB },
    { "rom", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = MIB },
    { "apic", .from = ANY, .to = ANY, .phase = PHASE_JOINED, .len_max = KIB },
    { "pci-function", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = 16 * KIB },
    { "pci-rom", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = MIB },
    { "pci-end", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "pci-unplug", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "pci-slot", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = 16 * KIB },
    { "mirrored", .from = ANY, .to = ANY, .phase = PHASE_JOINED,
      .len_max = KIB },

    /* the run state */
    { "want-start", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "want-stop", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "stopped", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "start", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "stop", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "reset", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "reset-pause", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "reset-do", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "reset-reached", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "reset-resume", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "powerdown", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "shutdown", .from = FOLLOWER, .to = BOOT, .phase = PHASE_JOINED,
      .len_max = KIB },
    { "leaving", .from = BOOT, .to = FOLLOWER, .phase = PHASE_JOINED,
      .len_max = KIB },
};

static uint8_t role(CohNodeId node)
{
    return node == 0 ? BOOT : FOLLOWER;
}

/* The part of @rule that is broken besides the type, or NULL. */
static const char *broken(const Rule *rule, size_t len, CohNodeId from,
                          CohNodeId self, Phase phase)
{
    if (!(rule->from & role(from)) || !(rule->to & role(self))) {
        return rule->message ? "a message that is another node's to send"
                             : "a frame that is another node's to send";
    }
    if (len < rule->len_min || len > rule->len_max) {
        return rule->message ? "a message that is too long"
                             : "a frame of a wrong length";
    }
    if (phase < rule->phase) {
        return rule->message ? "a message before its time"
                             : "a frame before its time";
    }
    if (rule->too_late && phase >= rule->too_late) {
        return "a message after its time";
    }
    return NULL;
}

const char *rules_frame(const WireFrame *frame, CohNodeId self, Phase phase)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const Rule *rule = &rules[i];

        if (!rule->message && rule->type == frame->type &&
            frame->sub >= rule->sub_min && frame->sub <= rule->sub_max) {
            return broken(rule, frame->len, frame->from, self, phase);
        }
    }
    return "a frame of an unknown kind";
}

bool rules_know(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (rules[i].message && !strcmp(rules[i].message, type)) {
            return true;
        }
    }
    return false;
}

const char *rules_message(const char *type, size_t len, CohNodeId from,
                          CohNodeId self, Phase phase)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const Rule *rule = &rules[i];

        if (rule->message && !strcmp(rule->message, type)) {
            return broken(rule, len, from, self, phase);
        }
    }
    return "a message of an unknown type";
}

bool rules_know_frame(uint8_t type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (!rules[i].message && rules[i].type == type) {
            return true;
        }
    }
    return false;
}

bool rules_frame_row(unsigned n, FrameRule *row)
{
    static const char *const roles[] = {
        [BOOT] = "B", [FOLLOWER] = "F", [ANY] = "A",
    };
    static const char *const phases[] = {
        [PHASE_GREETING] = "greeting", [PHASE_KNOWN] = "known",
        [PHASE_JOINED] = "joined", [PHASE_FORMED] = "formed",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        const Rule *rule = &rules[i];

        if (!rule->message && !n--) {
            *row = (FrameRule) {
                .type = rule->type, .kind_min = rule->sub_min,
                .kind_max = rule->sub_max, .from = roles[rule->from],
                .to = roles[rule->to], .phase = phases[rule->phase],
                .len_min = rule->len_min, .len_max = rule->len_max,
            };
            return true;
        }
    }
    return false;
}
