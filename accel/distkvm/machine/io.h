/*
 * distkvm: device accesses between nodes, requested
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IO_H
#define DISTKVM_IO_H

#include "exec/memory.h"
#include "accel/distkvm/wire/body.h"

#define IO_PORTS 0x10000

/* How many addresses @space has. */
static inline uint64_t io_space_bytes(WireSpace space)
{
    return space == WIRE_SPACE_PORTS ? IO_PORTS : UINT64_MAX;
}

/* Main thread, before membership starts. */
void io_init(void);
/*
 * The region whose accesses go to @node, not this one, which performs them at
 * the address that they have in the region.  It stays.  BQL held.
 */
MemoryRegion *io_forwarder(CohNodeId node, WireSpace space);
/* Which node has the device behind @mr: of a forwarder, the other end. */
CohNodeId io_owner(const MemoryRegion *mr);

#endif
