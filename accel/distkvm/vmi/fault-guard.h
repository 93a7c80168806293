/*
 * distkvm: accesses to pages that are lost with their node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FAULT_GUARD_H
#define DISTKVM_FAULT_GUARD_H

/* Main thread, once, before vCPUs run. */
void fault_guard_init(void);

#endif
