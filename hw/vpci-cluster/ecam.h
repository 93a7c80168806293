/*
 * vpci-cluster: configuration space in memory (ECAM), which DMA may reach
 *
 * QEMU's host bridge does not pass on of which kind an access is, so this is
 * noted around it.  Ports have no such question: no device accesses them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_ECAM_H
#define VPCI_ECAM_H

#include "hw/pci/pcie_host.h"

/* Watch the accesses to the window of @host.  Once; BQL held. */
void ecam_watch(PCIExpressHost *host);
/* Of the access to the window that this thread is within, or NULL. */
const MemTxAttrs *ecam_attrs(void);

#endif
