/*
 * distkvm: the boot node's memory map, on every node (for io.c)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MAP_H
#define DISTKVM_MAP_H

#include "exec/memory.h"

/* Where nothing else is mapped, @devices answers.  Follower, BQL held. */
void map_add_devices(MemoryRegion *devices);
#endif
