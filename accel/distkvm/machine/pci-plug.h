/*
 * distkvm: PCI devices of followers that come and go while the guest runs
 *
 * Messages; the devices are in hw/vpci-cluster.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PCI_PLUG_H
#define DISTKVM_PCI_PLUG_H

/* Main thread, before membership starts. */
void pci_plug_init(void);

#endif
