/*
 * distkvm: PCI functions of followers, between node 0 and their owners
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_H
#define DISTKVM_PCI_H

/* Main thread, before membership starts. */
void pci_init(void);
/* All have joined: a follower tells node 0 of its functions.  Main thread. */
void pci_formed(void);

#endif
