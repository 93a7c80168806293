/*
 * distkvm: PCI devices of node 1, as node 0's bus shows them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_TEST_H
#define DISTKVM_PCI_TEST_H

void pci_tests_add(void);

#endif
