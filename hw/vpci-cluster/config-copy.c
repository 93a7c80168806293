/*
 * distkvm: a stand-in's copy of configuration space
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/pci_regs.h>
#include "config-copy.h"

#define RANGE_HEAD_BYTES 4

/* The copy, or the owner, answers a read of the byte. */
#define COPY(at, bits, rule) { at, bits, VPCI_COPY_##rule, false }
#define OWNER(at, bits, rule) { at, bits, VPCI_COPY_##rule, true }

VPCI_TABLE_CONST VpciCopyRow vpci_copy_rows[] = {
    COPY(PCI_VENDOR_ID, 0xff, FIXED),
    COPY(PCI_VENDOR_ID + 1, 0xff, FIXED),
    COPY(PCI_DEVICE_ID, 0xff, FIXED),
    COPY(PCI_DEVICE_ID + 1, 0xff, FIXED),
    COPY(PCI_COMMAND, 0xff, WRITTEN),
    COPY(PCI_COMMAND + 1, 0xff, WRITTEN),
    /* Errors of the device appear in STATUS without any write. */
    OWNER(PCI_STATUS, PCI_STATUS_INTERRUPT, KEPT),
    OWNER(PCI_STATUS + 1, 0xff, PLAIN),
    COPY(PCI_CLASS_DEVICE, 0xff, FIXED),
    COPY(PCI_CLASS_DEVICE + 1, 0xff, FIXED),
    COPY(PCI_HEADER_TYPE, 0xff, FIXED),
    /* QEMU takes it for an index when INTx is raised or lowered. */
    COPY(PCI_INTERRUPT_PIN, 0xff, FIXED),
    { 0 },
};

static const VpciCopyRow *row_of(unsigned at)
{
    const VpciCopyRow *row = vpci_copy_rows;

    while (row->bits && row->at != at) {
        row++;
    }
    return row;
}

bool vpci_copy_serves(unsigned at, unsigned len)
{
    for (unsigned i = at; i < at + len; i++) {
        if (i >= PCI_STD_HEADER_SIZEOF || row_of(i)->forwarded) {
            return false;
        }
    }
    return true;
}

/* ---------------------------------------------------------------- the owner */

static void put_word(uint8_t *to, unsigned value)
{
    to[0] = value;
    to[1] = value >> 8;
}

/* The end of the range that begins at @at, where a byte differs. */
static unsigned range_end(const uint8_t *told, const uint8_t *now,
                          unsigned bytes, unsigned at)
{
    unsigned end = at + 1;

    for (unsigned i = end; i < bytes && i <= end + RANGE_HEAD_BYTES; i++) {
        if (told[i] != now[i]) {
            end = i + 1;
        }
    }
    return end;
}

size_t vpci_changes_list(const uint8_t *told, const uint8_t *now,
                         unsigned bytes, uint8_t *changes)
{
    uint8_t *to = changes;
    unsigned at = 0;

    while (at < bytes) {
        unsigned end;

        if (told[at] == now[at]) {
            at++;
            continue;
        }
        end = range_end(told, now, bytes, at);
        put_word(to, at);
        put_word(to + 2, end - at);
        memcpy(to + RANGE_HEAD_BYTES, now + at, end - at);
        to += RANGE_HEAD_BYTES + end - at;
        at = end;
    }
    return to - changes;
}

/* ------------------------------------------------------------------- node 0 */

typedef struct Range {
    unsigned at, len;
    const uint8_t *bytes;
} Range;

/*
 * Take the range at *@list, of the @left bytes there, that begins at @min or
 * later and ends at @max; false: there is none.
 */
static bool next_range(const uint8_t **list, size_t *left, unsigned min,
                       unsigned max, Range *range)
{
    const uint8_t *at = *list;

    if (*left < RANGE_HEAD_BYTES) {
        return false;
    }
    range->at = at[0] | at[1] << 8;
    range->len = at[2] | at[3] << 8;
    range->bytes = at + RANGE_HEAD_BYTES;
    if (!range->len || range->at < min || range->at + range->len > max ||
        range->len > *left - RANGE_HEAD_BYTES) {
        return false;
    }
    *list += RANGE_HEAD_BYTES + range->len;
    *left -= RANGE_HEAD_BYTES + range->len;
    return true;
}

static const char *check_changes(const uint8_t *copy, unsigned bytes,
                                 const uint8_t *changes, size_t left)
{
    unsigned min = 0;
    Range range;

    while (left) {
        if (!next_range(&changes, &left, min, bytes, &range)) {
            return "a list of changes that is none";
        }
        min = range.at + range.len;
        for (unsigned i = 0; i < range.len; i++) {
            const VpciCopyRow *row = row_of(range.at + i);

            if (row->rule == VPCI_COPY_FIXED &&
                (range.bytes[i] ^ copy[range.at + i]) & row->bits) {
                return "a change of what a function is";
            }
        }
    }
    return NULL;
}

/* @value has arrived for the byte at @at. */
static void apply_byte(uint8_t *copy, unsigned at, uint8_t value,
                       uint16_t *command)
{
    const VpciCopyRow *row = row_of(at);

    if (row->rule == VPCI_COPY_WRITTEN) {
        unsigned shift = 8 * (at - PCI_COMMAND);

        *command = (*command & ~(0xff << shift)) | value << shift;
    } else if (row->rule == VPCI_COPY_KEPT) {
        copy[at] = (copy[at] & row->bits) | (value & ~row->bits);
    } else {
        copy[at] = value;
    }
}

const char *vpci_changes_apply(uint8_t *copy, unsigned bytes,
                               const uint8_t *changes, size_t len,
                               uint16_t *command)
{
    const char *why = check_changes(copy, bytes, changes, len);
    Range range;

    if (why) {
        return why;
    }
    *command = copy[PCI_COMMAND] | copy[PCI_COMMAND + 1] << 8;
    while (next_range(&changes, &len, 0, bytes, &range)) {
        for (unsigned i = 0; i < range.len; i++) {
            apply_byte(copy, range.at + i, range.bytes[i], command);
        }
    }
    return NULL;
}
