/*
 * distkvm: the boot node's memory map, on every node (for io.c)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMMAP_H
#define DISTKVM_MEMMAP_H

#include "exec/memory.h"

/* Where nothing else is mapped, @devices answers.  Follower, BQL held. */
void memmap_add_devices(MemoryRegion *devices);
#endif
