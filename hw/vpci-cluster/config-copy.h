/*
 * distkvm: a stand-in's copy of configuration space
 *
 * Only the owner executes a write to configuration space.  Its answer has the
 * bytes that changed, and node 0 applies them to the stand-in's copy.  (QEMU's
 * hw/remote does the opposite: it writes to its own copy first, and so needs
 * the masks of every device a second time.)
 *
 * Some bytes need care, and one table says which: the identity, which never
 * changes; COMMAND, which must go through QEMU's own write function, as that
 * moves BARs and raises or lowers INTx; and the bit of STATUS that shows INTx,
 * which node 0 keeps by itself.
 *
 * Pure.  A copy belongs to the BQL's holder; the functions keep no state.
 * Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_CONFIG_COPY_H
#define VPCI_CONFIG_COPY_H

#include "function.h"

/*
 * May a read of @len bytes (1 to 8) at @at be served by the copy?  If not it
 * goes to the owner: reads beyond the header may have effects.
 */
bool vpci_copy_serves(unsigned at, unsigned len);

/* Bytes of the longest list of changes: one range that is all bytes. */
#define VPCI_CHANGES_BYTES_MAX (4 + VPCI_CONFIG_BYTES_MAX)

/*
 * The owner: list the changes from @told to @now, both of @bytes bytes (256 or
 * 4096), at @changes, which has room for 4 + @bytes bytes; bytes of the list, 0
 * if nothing changed.  A range is its offset and its length, 2 bytes each,
 * little-endian, and its bytes.  Ranges ascend; ranges with up to 4 bytes
 * between them are one, which is no longer than two.
 */
size_t vpci_changes_list(const uint8_t *told, const uint8_t *now,
                         unsigned bytes, uint8_t *changes);

/*
 * Node 0: apply a list of @len bytes, which a peer sent, to @copy of @bytes
 * bytes.  NULL, or the reason why it is none: it goes on after "node N answered
 * with ", and @copy is as before.
 *
 * Apart from COMMAND all bytes are in @copy then.  *@command has the new value
 * of COMMAND; the caller writes it last, by pci_default_write_config(), always:
 * that call compares with the old COMMAND, and looks at the BARs again.
 */
const char *vpci_changes_apply(uint8_t *copy, unsigned bytes,
                               const uint8_t *changes, size_t len,
                               uint16_t *command);

/* ----------------------------------- the rules, for the test of mutants */

typedef enum VpciCopyRule {
    VPCI_COPY_PLAIN,        /* copied                                       */
    VPCI_COPY_FIXED,        /* a change is refused                          */
    VPCI_COPY_WRITTEN,      /* the caller writes it: COMMAND                */
    VPCI_COPY_KEPT,         /* node 0's                                     */
    VPCI_COPY__MAX
} VpciCopyRule;

/* Bits of bytes of the header; all others are plain, and served. */
typedef struct VpciCopyRow {
    uint8_t at;             /* offset                                       */
    uint8_t bits;           /* that are fixed or kept; else all             */
    uint8_t rule;           /* VpciCopyRule                                 */
    bool forwarded;         /* a read of it goes to the owner               */
} VpciCopyRow;

/* Ends with a row without bits. */
extern VPCI_TABLE_CONST VpciCopyRow vpci_copy_rows[];

#endif
