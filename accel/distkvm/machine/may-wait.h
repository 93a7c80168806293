/*
 * distkvm: may a device access wait for a peer?
 *
 * A vCPU's own access may: its thread holds no lock of a device and drops the
 * BQL.  DMA may not, not even of a device that does it within a vCPU's access:
 * the model would not survive that the BQL is dropped.  Nor may an access that
 * is served for a peer: two nodes that serve each other would wait for ever.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MAY_WAIT_H
#define DISTKVM_MAY_WAIT_H

#include "exec/memattrs.h"

/* Is an access with @attrs a vCPU's own, and neither DMA nor the monitor's? */
bool is_of_vcpu(MemTxAttrs attrs);
/*
 * May this thread wait for a peer because of an access with @attrs, that it is
 * in the middle of?  Any thread.
 */
bool may_wait(MemTxAttrs attrs);

#endif
