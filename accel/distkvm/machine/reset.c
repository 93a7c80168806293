/*
 * distkvm: resets of the cluster
 *
 * A reset on any node is one of all nodes.  Node 0 takes it through its phases:
 * all paused, all reset, all resumed.  It happens in the main loops, and no
 * thread waits for a peer.  Spec: docs/architecture.rst, "Run state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "power-off.h"
#include "replica.h"
#include "reset.h"
#include "service.h"

typedef enum {
    RESET_IDLE,
    RESET_PAUSING,
    RESET_DOING,
} ResetPhase;

static struct {
    bool due;                   /* see cluster_reset_is_due() */

    /* node 0 */
    ResetPhase phase;
    CohNodeSet reached;         /* nodes that have come to the phase's end */
    ShutdownCause cause;
} reset;

static const ResetListener *listener;

bool cluster_reset_is_idle(void)
{
    return reset.phase == RESET_IDLE;
}

bool cluster_reset_is_doing(void)
{
    return reset.phase == RESET_DOING;
}

bool cluster_reset_is_due(void)
{
    return reset.due;
}

/* ----------------------------------------------------- on each node */

/* True if the main loop was to stop the guest for an error of its vCPUs. */
static bool take_error(void)
{
    RunState state;

    if (!qemu_vmstop_requested(&state)) {
        return false;
    }
    if (state == RUN_STATE_INTERNAL_ERROR) {
        return true;
    }
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(state);
    return false;
}

/*
 * A reset heals the error or panic that this node was stopped for.  An error from
 * here on is one of the reset itself, as when KVM does not take a vCPU's state.
 */
static void forget_state(void)
{
    take_error();
    /* A dump of memory goes on, and starts the guest at its end. */
    if (!runstate_check(RUN_STATE_RUNNING) &&
        !runstate_check(RUN_STATE_SAVE_VM) &&
        !runstate_check(RUN_STATE_PRELAUNCH)) {
        runstate_set(RUN_STATE_PRELAUNCH);
    }
}

static void reset_here(ShutdownCause cause)
{
    vpci_before_reset();
    /*
     * Interrupts sent before this are stale from now on.  So are those of the
     * reset itself, as when a disk ends its requests: on one machine the local
     * APICs are reset after all devices, but other nodes' may have been before.
     */
    qatomic_inc(&distkvm->epoch);
    /* Copies that begin now are of this epoch; a copy waits for pages alone. */
    engine_settle_fills(distkvm->engine);
    forget_state();
    qemu_system_reset(cause);
    reset.due = take_error();
    distkvm->irq_epoch = qatomic_read(&distkvm->epoch);
}

/* Behind the news that this node was reset: a stop is one of the new guest. */
static void tell_failure(void)
{
    if (reset.due) {
        listener->failed();
    }
}

/* ---------------------------------------------------------- at node 0 */

static void begin_phase(ResetPhase phase, MemberMessageType type)
{
    /* Messages of all phases have one body. */
    const MemberMessage message = {
        .type = type, .u.reset_pause.cause = reset.cause,
    };

    reset.phase = phase;
    reset.reached = coh_set_empty();
    member_broadcast(&message);
}

static void resume_all(void *unused)
{
    if (qatomic_read(&distkvm->failed)) {
        return;
    }
    begin_phase(RESET_IDLE, MESSAGE_RESET_RESUME);
    resume_all_vcpus();
    listener->all_reset();
}

static void reset_settled(void *unused)
{
    service_queue_main(resume_all, NULL);
}

static void phase_reached(CohNodeId from)
{
    coh_set_add(&reset.reached, from);
    if (reset.phase == RESET_DOING) {
        listener->was_reset(from);
    }
    if (!distkvm_is_whole(&reset.reached)) {
        return;
    }
    if (reset.phase == RESET_PAUSING) {
        begin_phase(RESET_DOING, MESSAGE_RESET_DO);
        reset_here(reset.cause);
        phase_reached(distkvm->id);
        tell_failure();
    } else if (reset.phase == RESET_DOING) {
        replica_then(replica_last(), reset_settled, NULL);
    }
}

bool distkvm_reset(ShutdownCause cause)
{
    const MemberMessage message = {
        .type = MESSAGE_RESET, .u.reset.cause = cause,
    };
    Error *err = NULL;

    if (!distkvm_may_go_on(&err)) {
        /* A guest that is reset would look as if it could be started. */
        error_report_err(err);
        return true;
    }
    if (!distkvm || !node_is_formed()) {
        return false;
    }
    if (!distkvm_is_boot_node()) {
        member_send(0, &message);
    } else if (reset.phase == RESET_IDLE) {
        reset.cause = cause;
        begin_phase(RESET_PAUSING, MESSAGE_RESET_PAUSE);
        pause_all_vcpus();
        phase_reached(distkvm->id);
    }
    if (runstate_needs_reset()) {
        /*
         * A "cont" may come before other nodes are through; it is kept.  The
         * reset of a follower may not come: node 0 may have -no-reboot.
         */
        reset.due = true;
        runstate_set(RUN_STATE_PRELAUNCH);
    }
    return true;
}

/* ------------------------------------------------------------- messages */

/* At node 0, from followers. */

static const char *serve_reset(CohNodeId from, const MemberMessage *message)
{
    qemu_system_reset_request(shutdown_cause_of(&message->u.reset));
    return NULL;
}

static const char *serve_reset_reached(CohNodeId from,
                                       const MemberMessage *message)
{
    if (reset.phase == RESET_IDLE || coh_set_has(&reset.reached, from)) {
        return "it reached a phase of a reset that it was not asked for";
    }
    phase_reached(from);
    return NULL;
}

/* At followers, from node 0. */

static const char *serve_reset_pause(CohNodeId from,
                                     const MemberMessage *message)
{
    pause_all_vcpus();
    member_say(0, MESSAGE_RESET_REACHED);
    return NULL;
}

static const char *serve_reset_do(CohNodeId from,
                                  const MemberMessage *message)
{
    power_off_settled();
    reset_here(shutdown_cause_of(&message->u.reset_do));
    member_say(0, MESSAGE_RESET_REACHED);
    tell_failure();
    return NULL;
}

static const char *serve_reset_resume(CohNodeId from,
                                      const MemberMessage *message)
{
    resume_all_vcpus();
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_RESET, MEMBER_MAIN, serve_reset },
    { MESSAGE_RESET_REACHED, MEMBER_MAIN, serve_reset_reached },
    { MESSAGE_RESET_PAUSE, MEMBER_MAIN, serve_reset_pause },
    { MESSAGE_RESET_DO, MEMBER_MAIN, serve_reset_do },
    { MESSAGE_RESET_RESUME, MEMBER_MAIN, serve_reset_resume },
};

void cluster_reset_listen(const ResetListener *l)
{
    listener = l;
}

void cluster_reset_init(void)
{
    member_register(services, ARRAY_SIZE(services));
}
