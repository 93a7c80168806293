/*
 * distkvm: PCI functions of followers, between node 0 and their owners
 *
 * Frames and messages; the devices are in hw/vpci-cluster.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_H
#define DISTKVM_PCI_H

#include "accel/distkvm/core/coh-types.h"

/* Main thread, before membership starts. */
void pci_init(void);
/*
 * Node 0: has follower @node told of all its functions, as it does before it
 * wants the guest to run?  Main thread.
 */
bool pci_has_told(CohNodeId node);
/* Node 0: @node has gone before all joined, and may come again.  Any thread. */
void pci_left_early(CohNodeId node);
/*
 * Since when the oldest cycle has waited, in ns of get_clock(), and for which
 * node; 0: no cycle waits.  Any thread.
 */
int64_t pci_waits_since_ns(CohNodeId *node);
/* @fault, which goes on after "it sent ", as a sentence; NULL for NULL. */
const char *pci_fault_in_words(const char *fault);
/* All have joined: a follower tells node 0 of its functions.  Main thread. */
void pci_formed(void);

#endif
