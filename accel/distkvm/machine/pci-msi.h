/*
 * distkvm: MSIs of followers' PCI functions by way of node 0
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_MSI_H
#define DISTKVM_PCI_MSI_H

/* The service of MSIs; pci_init() calls it. */
void pci_msi_init(void);

#endif
