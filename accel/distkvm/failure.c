/*
 * distkvm: what happens to this node when another one is lost
 *
 * The guest stops for good, nothing false leaves, and threads that wait are
 * released; the process stays, to be looked at.
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "system/distkvm.h"
#include "system/runstate.h"
#include "accel/distkvm/wire/channel.h"
#include "node.h"
#include "accel/distkvm/vmi/lease.h"
#include "say.h"

static void fail_in_main_loop(void *unused)
{
    vm_stop(RUN_STATE_INTERNAL_ERROR);
    control_failed();
}

void distkvm_release_waiters(void)
{
    /* Before anybody can read zeroes for a page that will not come. */
    qatomic_set(&distkvm->fenced, true);
    /* Pairs with the copies that ask distkvm_fenced() afterwards. */
    smp_mb();
    engine_fail(distkvm->engine);
    io_fail();
    replica_fail();
    token_fail();
}

typedef struct LostNode {
    CohNodeId node;
    char *why;
} LostNode;

static void lost_in_main_loop(void *opaque)
{
    LostNode *l = opaque;

    distkvm_qmp_node_lost(l->node, l->why);
    g_free(l->why);
    g_free(l);
}

void distkvm_lost(CohNodeId node, const char *why)
{
    LostNode *l = g_new(LostNode, 1);

    l->node = node;
    l->why = channel_printable(why);
    service_queue_main(lost_in_main_loop, l);
}

void distkvm_fail(const char *why)
{
    CPUState *cpu;

    if (qatomic_xchg(&distkvm->failed, true)) {
        return;
    }
    say_error("distkvm: %s. Node %d has stopped the guest, which cannot go"
              " on; inspect it, then quit.", why, distkvm->id);
    /* vCPUs first: none may run on with what a lost page did not say. */
    CPU_FOREACH(cpu) {
        if (distkvm_cpu_is_local(cpu)) {
            qatomic_set(&cpu->stop, true);
            qatomic_set(&cpu->exit_request, true);
        }
    }
    lease_revoke();
    code_kick_all();
    distkvm_release_waiters();
    service_queue_main(fail_in_main_loop, NULL);
}
