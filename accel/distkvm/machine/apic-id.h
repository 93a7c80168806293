/*
 * distkvm: the identity of every local APIC, on every node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_APIC_ID_H
#define DISTKVM_APIC_ID_H

/* Main thread, once, after replica_init(). */
void apic_id_init(void);

#endif
