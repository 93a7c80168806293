/*
 * distkvm: the description of a PCI function, as bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_FUNCTION_PACK_H
#define VPCI_FUNCTION_PACK_H

#include "function.h"

/* Bytes of the longest description. */
#define VPCI_FUNCTION_BYTES_MAX \
    (8 + 5 + 4 + 9 * VPCI_BARS + 1 + VPCI_ID_MAX + 1 + \
     VPCI_BOOTS_MAX * (4 + 1 + VPCI_BOOT_SUFFIX_MAX) + VPCI_CONFIG_BYTES_MAX)

/*
 * Write @f to @bytes, which has room for VPCI_FUNCTION_BYTES_MAX; how many
 * bytes it took.  @f is as vpci_function_check() wants it.
 */
size_t vpci_function_pack(const VpciFunction *f, uint8_t *bytes);
/*
 * Read a description of exactly @len bytes into @f.  NULL, or the reason why
 * it is none: it goes on after "node N described a function ", and @f is
 * undefined.
 */
const char *vpci_function_unpack(VpciFunction *f, const uint8_t *bytes,
                                 size_t len);

#endif
