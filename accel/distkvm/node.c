/*
 * distkvm: this node's identity
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "node.h"

DistKVM *distkvm;

bool node_is_formed(void)
{
    return qatomic_read(&distkvm->formed);
}

void node_set_formed(bool formed)
{
    qatomic_set(&distkvm->formed, formed);
}
