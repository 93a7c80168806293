/*
 * distkvm: the boot node's memory map, on every node
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMMAP_H
#define DISTKVM_MEMMAP_H

#include "exec/memory.h"

/* Once, after replica_init(). */
void memmap_init(void);
/* Follower: where nothing else is mapped, @devices answers. */
void memmap_add_devices(MemoryRegion *devices);
/* Node 0: tell everyone the map as it is, and each change from now on. */
void memmap_announce(void);

#endif
