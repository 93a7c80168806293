/*
 * distkvm: the identity of every local APIC, on every node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_APIC_ID_H
#define DISTKVM_APIC_ID_H

#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"

void apic_id_apply(CohNodeId from, const QDict *message);

#endif
