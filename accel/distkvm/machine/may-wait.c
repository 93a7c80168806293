/*
 * distkvm: may a device access wait for a peer?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qemu/rcu.h"
#include "accel/distkvm/node.h"
#include "may-wait.h"
#include "service.h"

/* As cpu_get_mem_attrs() has it: DMA is unspecified, or names a requester. */
bool is_of_vcpu(MemTxAttrs attrs)
{
    return !attrs.unspecified && !attrs.requester_id && !attrs.memory &&
           !attrs.debug;
}

/*
 * qtest accesses memory in the main loop, as unspecified as DMA.  Each access
 * is an RCU section: an access that a device makes within another one is
 * nested, and qtest's own is not.
 */
static bool is_of_qtest(void)
{
    return distkvm->vmi == DISTKVM_VMI_QTEST && !current_cpu &&
           get_ptr_rcu_reader()->depth <= 1;
}

bool may_wait(MemTxAttrs attrs)
{
    if (service_is_this_thread()) {
        return false;
    }
    return (current_cpu && is_of_vcpu(attrs)) || is_of_qtest();
}
