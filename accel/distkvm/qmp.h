/*
 * distkvm: for management: query-distkvm and info commands
 *
 * Main loop, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_QMP_H
#define DISTKVM_QMP_H

/* info distkvm, and info distkvm-pci.  Once. */
void distkvm_qmp_init(void);

#endif
