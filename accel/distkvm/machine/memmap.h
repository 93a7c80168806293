/*
 * distkvm: the boot node's memory map, on every node
 *
 * memmap.c tells it on node 0, memmap-apply.c applies it on followers.
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMMAP_H
#define DISTKVM_MEMMAP_H

#include "exec/memory.h"
#include "accel/distkvm/wire/body.h"

/* A larger ROM is not copied. */
#define MEMMAP_ROM_BYTES_MAX (64u << 20)

/* Once, after replica_init(). */
void memmap_init(void);
/* Follower: where nothing else is mapped, node 0 answers.  Once. */
void memmap_add_devices(void);
/*
 * Where this node's own devices lie, at the addresses that the guest gives
 * them.  Of a follower's only those parts are in the guest's reach that node
 * 0's map says are this node's; node 0's are its map.  After memmap_init().
 */
MemoryRegion *memmap_own_space(WireSpace space);
/* Node 0: tell everyone the map as it is, and each change from now on. */
void memmap_announce(void);

#endif
