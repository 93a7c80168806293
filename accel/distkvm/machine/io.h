/*
 * distkvm: device accesses between nodes
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

/*
 * Serve device accesses; on a follower, send those to node 0 of which the map
 * says nothing.  Main thread, BQL held, before membership starts, after
 * memmap_init().
 */
void io_init(void);
/* Its part in io-serve.c. */
void io_serve_init(void);
/*
 * The region whose accesses go to @node, not this one, which performs them at
 * the address that they have in the region.  It stays.  BQL held.
 */
MemoryRegion *io_forwarder(CohNodeId node, WireSpace space);
/*
 * Within an access that is served for another node: a part of it, to the
 * configuration byte @addr, will be done by io_complete(), and the answer waits
 * for that.  NULL if there is no such access.  The caller returns 0 for a
 * read.  BQL held, for both.
 */
typedef struct IoAnswer IoAnswer;
IoAnswer *io_defer(void);
void io_complete(IoAnswer *answer, unsigned addr, uint32_t data);
/* Which node has the device behind @mr: of a forwarder, the other end. */
CohNodeId io_owner(const MemoryRegion *mr);

#endif
