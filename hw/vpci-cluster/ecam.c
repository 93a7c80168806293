/*
 * vpci-cluster: configuration space in memory (ECAM), which DMA may reach
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ecam.h"

static const MemoryRegionOps *bridge_ops;
static __thread const MemTxAttrs *now;

static MemTxResult watched_read(void *opaque, hwaddr addr, uint64_t *data,
                                unsigned size, MemTxAttrs attrs)
{
    const MemTxAttrs *outer = now;

    now = &attrs;
    *data = bridge_ops->read(opaque, addr, size);
    now = outer;
    return MEMTX_OK;
}

static MemTxResult watched_write(void *opaque, hwaddr addr, uint64_t data,
                                 unsigned size, MemTxAttrs attrs)
{
    const MemTxAttrs *outer = now;

    now = &attrs;
    bridge_ops->write(opaque, addr, data, size);
    now = outer;
    return MEMTX_OK;
}

const MemTxAttrs *ecam_attrs(void)
{
    return now;
}

void ecam_watch(PCIExpressHost *host)
{
    static MemoryRegionOps watched;

    bridge_ops = host->mmio.ops;
    watched = *bridge_ops;
    watched.read = NULL;
    watched.write = NULL;
    watched.read_with_attrs = watched_read;
    watched.write_with_attrs = watched_write;
    host->mmio.ops = &watched;
}
