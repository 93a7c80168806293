/*
 * distkvm: bodies of frames
 *
 * Pure.  Spec: docs/wire-frames.rst, which is printed from these tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "body.h"
#include "pack.h"

#define MEMBER(body, member) (((WireFrame *)0)->body.member)
#define BOUND(body, member, least, most, text_) \
    { .name = #member, .bytes = sizeof(MEMBER(body, member)), .count = 1, \
      .at = offsetof(WireFrame, body.member), .min = least, .max = most, \
      .text = text_ }
#define FIELD(body, member, text) BOUND(body, member, 0, UINT64_MAX, text)
#define FLAG(body, member, text) BOUND(body, member, 0, 1, text)
#define ZERO(n) { .bytes = 1, .count = n }

static const WireField coh_fields[] = {
    FIELD(coh, page, "number of the page in coherent RAM"),
    FIELD(coh, version, "of the contents; of an operation: its number"),
    BOUND(coh, more, 0, WIRE_MORE_MAX, "pages in the list that follows"),
    FIELD(coh, requester, "of a forwarded request, or 0xffff"),
    FIELD(coh, acks, "acknowledgements to wait for, signed"),
    FLAG(coh, zero, "1: the page is all zero and left out"),
    ZERO(1),
};

static const WireField irq_fields[] = {
    FIELD(irq, cpu, "index of the vCPU"),
    FIELD(irq, vector, "of kinds 1 and 3, else 0"),
    FLAG(irq, level, "1: triggered by level"),
};

static const WireField eoi_fields[] = {
    FIELD(eoi, vector, "of the level interrupt that has ended"),
};

static const WireField io_fields[] = {
    FIELD(io, call, "number of the call, the sender's own"),
    FIELD(io, addr, "of the first byte"),
    FIELD(io, data, "bytes to write, the first lowest; 0 of a read"),
    FIELD(io, cpu, "index of the vCPU, or 0xffffffff"),
    BOUND(io, space, 0, WIRE_SPACE__MAX - 1, "0 memory, 1 ports"),
    BOUND(io, size, 1, WIRE_IO_BYTES_MAX, "bytes"),
};

static const WireField io_reply_fields[] = {
    FIELD(io_reply, call, "number of the call that this answers"),
    FIELD(io_reply, data, "bytes read, the first lowest"),
    FIELD(io_reply, result, "0, or why there is none (QEMU's MemTxResult)"),
    FIELD(io_reply, irqs, "frames of interrupts before it, if it waits for them"),
};

static const WireField ping_fields[] = {
    FLAG(ping, woke, "of an answer, 1: the lane's thread can be woken"),
};

static const WireField late_fields[] = {
    FIELD(late, page, "number of the page that is awaited"),
    { .name = "heard", .bytes = sizeof(uint64_t), .count = COH_SET_WORDS,
      .at = offsetof(WireFrame, late.heard), .max = UINT64_MAX,
      .text = "nodes that have done their part, a bit for each" },
};

static const WireField pic_fields[] = {
    FIELD(pic, seq, "changes of the output so far"),
    FLAG(pic, level, "the output"),
};

static const WireField pic_ack_fields[] = {
    FIELD(pic_ack, call, "number of the call, the sender's own"),
};

static const WireField pic_vector_fields[] = {
    FIELD(pic_vector, call, "number of the call that this answers"),
    FIELD(pic_vector, seq, "changes of the output so far"),
    FIELD(pic_vector, vector, "of the interrupt that was taken"),
    FLAG(pic_vector, level, "the output afterwards"),
};

static const WireField flush_fields[] = {
    FIELD(flush, count, "frames of interrupts, in one direction"),
};

static const WireField pci_config_fields[] = {
    FIELD(pci_config, call, "number of the call, the sender's own"),
    FIELD(pci_config, generation, "counts the devices that the slot has had"),
    FIELD(pci_config, data, "bytes to write, the first lowest"),
    BOUND(pci_config, addr, 0, WIRE_PCI_CONFIG_BYTES - 1, "of the first byte"),
    FIELD(pci_config, devfn, "slot and function, at the owner"),
    BOUND(pci_config, size, 1, 4, "bytes"),
};

static const WireField pci_changed_fields[] = {
    FIELD(pci_config, call, "number of the call that this answers"),
    FIELD(pci_config, data, "bytes read, the first lowest"),
};

static const WireField pci_line_fields[] = {
    FIELD(pci_line, generation, "counts the devices that the slot has had"),
    FIELD(pci_line, devfn, "slot and function, at the owner"),
    FLAG(pci_line, level, "1: the interrupt is asked for"),
};

static const WireField pci_msi_fields[] = {
    FIELD(pci_msi, generation, "counts the devices that the slot has had"),
    FIELD(pci_msi, addr, "where the function writes to"),
    FIELD(pci_msi, data, "value that it writes"),
    FIELD(pci_msi, devfn, "slot and function, at the owner"),
};

static const WireField pci_reset_fields[] = {
    FIELD(pci_line, generation, "counts the devices that the slot has had"),
    FIELD(pci_line, devfn, "slot and function, at the owner"),
};

static const WireKind coh_kinds[] = {
    { COH_EV_GETS, "GETS" }, { COH_EV_GETM, "GETM" }, { COH_EV_GETO, "GETO" },
    { COH_EV_PUT, "PUT" }, { COH_EV_GETV, "GETV" }, { COH_EV_DONE, "DONE" },
    { COH_EV_FWD_GETS, "FWD_GETS" }, { COH_EV_FWD_GETM, "FWD_GETM" },
    { COH_EV_INV, "INV" }, { COH_EV_DATA_S, "DATA_S" },
    { COH_EV_DATA_M, "DATA_M" }, { COH_EV_ZERO, "ZERO" },
    { COH_EV_GRANT, "GRANT" }, { COH_EV_ACK, "ACK" },
    { COH_EV_DROP, "DROP" }, { COH_EV_FWD_GETV, "FWD_GETV" },
    { COH_EV_VALUE, "VALUE" }, { COH_EV_REFUSE, "REFUSE" }, { 0 },
};

static const WireKind irq_kinds[] = {
    { WIRE_IRQ_FIXED, "fixed" }, { WIRE_IRQ_INIT, "INIT" },
    { WIRE_IRQ_SIPI, "SIPI" }, { WIRE_IRQ_NMI, "NMI" },
    { WIRE_IRQ_SMI, "SMI" }, { WIRE_IRQ_MCE, "MCE" }, { 0 },
};

static const WireKind io_kinds[] = {
    { WIRE_IO_READ, "read" }, { WIRE_IO_WRITE, "write" }, { 0 },
};

static const WireKind token_kinds[] = {
    { WIRE_TOKEN_TAKE, "take" }, { WIRE_TOKEN_GRANT, "grant" },
    { WIRE_TOKEN_RELEASE, "release" }, { 0 },
};

static const WireKind ping_kinds[] = {
    { WIRE_PING_ASK, "ask" }, { WIRE_PING_ANSWER, "answer" }, { 0 },
};

static const WireKind late_kinds[] = {
    { WIRE_LATE_MISSED, "missed" }, { WIRE_LATE_AT_IT, "at it" }, { 0 },
};

static const WireKind flush_kinds[] = {
    { WIRE_FLUSH_ASK, "ask" }, { WIRE_FLUSH_SERVED, "served" }, { 0 },
};

#define LAYOUT(name_, text_, fields_, kinds_) \
    { .name = name_, .text = text_, .fields = fields_, \
      .n = G_N_ELEMENTS(fields_), .kinds = kinds_ }

static const WireLayout layouts[WIRE__MAX] = {
    [WIRE_COH] = LAYOUT("page", "A message of the coherence protocol.",
                        coh_fields, coh_kinds),
    [WIRE_IRQ] = LAYOUT("interrupt", "An interrupt for a vCPU of the receiver.",
                        irq_fields, irq_kinds),
    [WIRE_EOI] = LAYOUT("end of interrupt", "For the IOAPIC.", eoi_fields,
                        NULL),
    [WIRE_IO] = LAYOUT("device access", "A call.", io_fields, io_kinds),
    [WIRE_IO_REPLY] = LAYOUT("answer to an access", "Ends a call.",
                             io_reply_fields, NULL),
    [WIRE_TOKEN] = { .name = "split-lock token",
                     .text = "Lets one node at a time execute a misaligned"
                             " LOCK.", .kinds = token_kinds },
    [WIRE_PING] = LAYOUT("ping", "Shows that large frames pass the lane.",
                         ping_fields, ping_kinds),
    [WIRE_LATE] = LAYOUT("late page", "A page does not come.", late_fields,
                         late_kinds),
    [WIRE_PIC] = LAYOUT("8259's output", "The interrupt line has changed.",
                        pic_fields, NULL),
    [WIRE_PIC_ACK] = LAYOUT("8259's acknowledge", "A call: a vCPU takes the"
                            " interrupt.", pic_ack_fields, NULL),
    [WIRE_PIC_VECTOR] = LAYOUT("8259's vector", "Ends a call.",
                               pic_vector_fields, NULL),
    [WIRE_FLUSH] = LAYOUT("flush of interrupts", "Shows that interrupts have"
                          " been served.", flush_fields, flush_kinds),
    [WIRE_PCI_CONFIG] = LAYOUT("PCI configuration", "A call, to the owner of a"
                               " function.", pci_config_fields, io_kinds),
    [WIRE_PCI_CHANGED] = LAYOUT("answer to PCI configuration", "Ends a call;"
                                " the changed bytes follow.",
                                pci_changed_fields, NULL),
    [WIRE_PCI_LINE] = LAYOUT("PCI interrupt line", "A function's INTx has"
                             " changed.", pci_line_fields, NULL),
    [WIRE_PCI_RESET] = LAYOUT("PCI reset", "The bus of a function is reset.",
                              pci_reset_fields, NULL),
    [WIRE_PCI_MSI] = LAYOUT("PCI message", "An MSI of a function, in the format"
                            " that is remapped.", pci_msi_fields, NULL),
};

const WireLayout *wire_layout(uint8_t type)
{
    return &layouts[type];
}

size_t wire_pack_body(const WireFrame *frame, uint8_t *bytes)
{
    return frame->type == WIRE_COH
           ? wire_pack(coh_fields, G_N_ELEMENTS(coh_fields), frame, bytes)
           : wire_pack(layouts[frame->type].fields, layouts[frame->type].n,
                       frame, bytes);
}

bool wire_unpack_body(WireFrame *frame, const uint8_t *bytes, size_t len,
                      size_t *used)
{
    return frame->type == WIRE_COH
           ? wire_unpack(coh_fields, G_N_ELEMENTS(coh_fields), bytes, len,
                         used, frame)
           : wire_unpack(layouts[frame->type].fields, layouts[frame->type].n,
                         bytes, len, used, frame);
}
