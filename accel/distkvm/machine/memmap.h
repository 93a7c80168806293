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
#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"

/* Follower, once: room for node 0's map. */
void memmap_init(void);
/* Follower: where nothing else is mapped, @devices answers. */
void memmap_add_devices(MemoryRegion *devices);
void memmap_apply(const QDict *message);
void memmap_rom_message(CohNodeId from, const QDict *message);
/* Node 0: tell everyone the map as it is, and each change from now on. */
void memmap_announce(void);

#endif
