/*
 * distkvm: which RAM is coherent
 *
 * Coherent RAM is the machine's memory backends, one after another as they lie
 * in its RAM; firmware, VRAM and the like are not part of it.  Constant
 * once the machine is initialised; any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RAM_H
#define DISTKVM_RAM_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "accel/distkvm/core/coh-types.h"
#include "accel/distkvm/memory/mem.h"

/* Is @mr RAM that all nodes share? */
bool distkvm_ram_is_coherent(const MemoryRegion *mr);
/* How much there is; all backends are there.  First of all calls. */
uint64_t distkvm_ram_bytes(void);
/*
 * Make it @mem's.  Main thread; false and @errp if a backend cannot be
 * coherent.
 */
bool distkvm_ram_add_to(Mem *mem, Error **errp);
/* "name=bytes" of all blocks of coherent RAM, in their order; g_free. */
char *distkvm_ram_text(void);
/* QEMU's address of @page, or RAM_ADDR_INVALID. */
ram_addr_t distkvm_ram_addr(CohPage page);
/* The page of @mr, which is coherent RAM, that @offset bytes lie in. */
CohPage distkvm_ram_page(const MemoryRegion *mr, hwaddr offset);
/* One past the last such address. */
ram_addr_t distkvm_ram_addr_end(void);

#endif
