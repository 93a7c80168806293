/*
 * distkvm: the boot node's memory map, on followers
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMMAP_APPLY_H
#define DISTKVM_MEMMAP_APPLY_H

#include "exec/memory.h"
#include "accel/distkvm/wire/body.h"

/* Once, after replica_init(). */
void memmap_init(void);
/*
 * Where this node's own devices lie, at the addresses that the guest gives
 * them.  Of a follower's only those parts are in the guest's reach that node
 * 0's map says are this node's; node 0's are its map.  After memmap_init().
 */
MemoryRegion *memmap_own_space(WireSpace space);

#endif
