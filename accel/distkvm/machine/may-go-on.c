/*
 * distkvm: whether the guest may run, be reset, or get devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "system/distkvm.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "power-off.h"

bool distkvm_may_go_on(Error **errp)
{
    const char *why;
    CohNodeId node;

    if (!distkvm) {
        return true;
    }
    if (power_off_is_leaving()) {
        /* libvirt ends a domain that cannot be reset, or it would stay. */
        error_setg(errp, "distkvm: node 0 ends, and with it this guest, which"
                   " neither goes on nor resets: start all nodes again");
        return false;
    }
    if (!qatomic_read(&distkvm->failed)) {
        return true;
    }
    if (failure_first_lost(&node, &why)) {
        error_setg(errp, "distkvm: node %d (%s) is lost: %s. Its memory is"
                   " gone, so this guest neither goes on nor resets: quit, and"
                   " start all nodes again", node, distkvm->address[node], why);
    } else {
        error_setg(errp, "distkvm: this node has stopped the guest for good,"
                   " as its messages say: quit, and start all nodes again");
    }
    return false;
}
