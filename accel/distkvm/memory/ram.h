/*
 * distkvm: which RAM is coherent
 *
 * Coherent RAM is the machine's memory backends, one after another in order
 * of their names; firmware, VRAM and the like are not part of it.  Constant
 * once the machine is initialised; any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RAM_H
#define DISTKVM_RAM_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "accel/distkvm/core/coh-types.h"

/* Is @mr RAM that all nodes share? */
bool distkvm_ram_is_coherent(const MemoryRegion *mr);
/* "name=bytes" of all blocks of coherent RAM, in their order; g_free. */
char *distkvm_ram_text(void);
/* QEMU's address of @page, or RAM_ADDR_INVALID. */
ram_addr_t distkvm_ram_addr(CohPage page);
/* One past the last such address. */
ram_addr_t distkvm_ram_addr_end(void);

#endif
