/*
 * distkvm: the owner's answers to cycles of configuration space
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_CONFIG_H
#define DISTKVM_PCI_CONFIG_H

/* The service of such cycles; pci_init() calls it. */
void pci_config_init(void);

#endif
