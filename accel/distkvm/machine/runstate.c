/*
 * distkvm: the run state of the cluster
 *
 * Stop, continue and reset on any node act on all of them.  Node 0 decides: it
 * counts nodes that want to start or have stopped, and takes resets through
 * their phases (all paused, all reset, all resumed).  All of it happens in the
 * main loops, where vCPUs can be paused; no thread waits for a peer.  The end is
 * power-off.c's.  Spec: docs/architecture.rst, "Run state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/say.h"
#include "pci.h"
#include "power-off.h"
#include "replica.h"
#include "runstate.h"
#include "service.h"

typedef enum {
    RESET_IDLE,
    RESET_PAUSING,
    RESET_DOING,
} ResetPhase;

static struct {
    bool starting;              /* vm_start() comes from the cluster */
    bool want_start;            /* the user has said so here */
    bool reset_due;             /* PRELAUNCH hides that the guest needs it */

    /* node 0 */
    CohNodeSet wants, stopped, reached;
    CohNodeSet unfit;           /* stopped by an error: a reset comes first */
    bool started;               /* once */
    bool running;
    bool start_pending;
    int64_t clock_ns;           /* latest of all stopped clocks */
    ResetPhase reset;
    ShutdownCause reset_cause;
} ctl;

static SayLimit refused_starts = { .subject = "starts were refused" };

static bool has_all_nodes(const CohNodeSet *set)
{
    CohNodeSet members = distkvm_members();

    /* The rest of a cluster that has lost a node starts and resets nothing. */
    return !qatomic_read(&distkvm->failed) && coh_set_has_all(set, &members);
}

bool cluster_runstate_is_resetting(void)
{
    return ctl.reset == RESET_DOING;
}

/* ------------------------------------------------------- start and stop */

static bool needs_reset(void)
{
    return runstate_needs_reset() || ctl.reset_due;
}

static void start_here(int64_t clock_ns)
{
    cluster_clock_start(clock_ns);
    ctl.starting = true;
    vm_start();
    ctl.starting = false;
}

/*
 * Node 0: a reset or an end that was asked for comes ahead of a start.  The main
 * loop takes it up when it is through with a batch of messages, in which a
 * follower's "cont" may be next to its reset.
 */
static bool is_reset_or_end_asked(void)
{
    return qemu_reset_requested_get() || qemu_shutdown_requested_get();
}

/* At first all nodes must want to; later all have stopped, and one wants to. */
static bool may_start(void)
{
    return !ctl.running && !qatomic_read(&distkvm->failed) &&
           !is_reset_or_end_asked() &&
           ctl.reset == RESET_IDLE && !needs_reset() &&
           coh_set_is_empty(&ctl.unfit) &&
           !coh_set_is_empty(&ctl.wants) &&
           has_all_nodes(ctl.started ? &ctl.stopped : &ctl.wants);
}

static void start_all(void *unused)
{
    MemberMessage message = { .type = MESSAGE_START };

    ctl.start_pending = false;
    if (!may_start()) {
        return;
    }
    ctl.wants = coh_set_empty();
    ctl.started = ctl.running = true;
    ctl.stopped = coh_set_empty();
    message.u.start.clock = ctl.clock_ns;
    member_broadcast(&message);
    start_here(ctl.clock_ns);
}

static void start_all_settled(void *unused)
{
    service_queue_main(start_all, NULL);
}

/* Start when all nodes are ready and have our memory map. */
static void try_start(void)
{
    if (!ctl.start_pending && may_start()) {
        ctl.start_pending = true;
        replica_then(replica_last(), start_all_settled, NULL);
    }
}

/* For a user, here or on another node; says so by vm_state_changed(). */
static void stop_here(void)
{
    RunState state;

    /*
     * KVM may have stopped a vCPU here for an error, and the main loop has not
     * come to it: another stop would hide that the guest has to be reset.
     */
    if (!qemu_vmstop_requested(&state)) {
        state = RUN_STATE_PAUSED;
    }
    vm_stop(state);
}

static void node_stopped(CohNodeId from, int64_t clock_ns)
{
    ctl.clock_ns = MAX(ctl.clock_ns, clock_ns);
    coh_set_add(&ctl.stopped, from);
    if (ctl.running) {
        ctl.running = false;
        ctl.wants = coh_set_empty();
        member_broadcast(&(MemberMessage) { .type = MESSAGE_STOP });
        stop_here();
    }
    try_start();
}

/* At followers. */
static void say_stopped(int64_t clock_ns)
{
    const MemberMessage message = {
        .type = MESSAGE_STOPPED, .u.stopped.clock = clock_ns,
        /* Not the state at the end of this process, which needs one, too. */
        .u.stopped.needs_reset = runstate_check(RUN_STATE_INTERNAL_ERROR) ||
                                 ctl.reset_due,
    };

    member_send(0, &message);
}

static void vm_state_changed(void *opaque, bool running, RunState state)
{
    int64_t clock_ns;

    if (running) {
        return;
    }
    clock_ns = cluster_clock_freeze();
    if (!node_is_formed() || power_off_is_leaving() ||
        qatomic_read(&distkvm->failed)) {
        return;
    }
    if (distkvm_is_boot_node()) {
        node_stopped(0, clock_ns);
    } else {
        say_stopped(clock_ns);
    }
}

/*
 * Node 0: the node of which the run state says that a reset comes first, unless
 * that reset was asked for.  COH_NODE_NONE: no such node.
 */
static CohNodeId find_unfit(void)
{
    if (qemu_reset_requested_get() || ctl.reset != RESET_IDLE) {
        return COH_NODE_NONE;
    }
    return runstate_needs_reset() ? 0 : coh_set_next(&ctl.unfit, 0);
}

bool distkvm_may_continue(Error **errp)
{
    CohNodeId unfit;

    if (!distkvm_may_go_on(errp)) {
        return false;
    }
    unfit = distkvm && distkvm_is_boot_node() ? find_unfit() : COH_NODE_NONE;
    if (unfit != COH_NODE_NONE && unfit != 0) {
        error_setg(errp, "distkvm: node %d was stopped by an error, which its"
                   " log names, and the guest has to be reset: reset it first",
                   unfit);
        return false;
    }
    return true;
}

/* Node 0: the user of @from says "cont". */
static void node_wants_start(CohNodeId from)
{
    CohNodeId unfit = find_unfit();

    if (unfit != COH_NODE_NONE) {
        say_limited(&refused_starts, "distkvm: node %d cannot let a guest go on"
                    " that has to be reset for the state of node %d: reset it"
                    " first", from, unfit);
        return;
    }
    /* "cont" of a running guest is a no-op. */
    if (!ctl.running) {
        coh_set_add(&ctl.wants, from);
    }
    try_start();
}

/* Node 0: the user of @from says "stop" before the guest runs there. */
static void node_wants_stop(CohNodeId from)
{
    /* After the first start "cont" on any node starts all. */
    if (ctl.started) {
        ctl.wants = coh_set_empty();
    } else {
        coh_set_remove(&ctl.wants, from);
    }
    if (ctl.running) {
        /* The start it did not want is on its way to it. */
        stop_here();
    }
}

static void ask_start(void)
{
    if (distkvm_is_boot_node()) {
        node_wants_start(0);
    } else {
        member_say(0, MESSAGE_WANT_START);
    }
}

static void ask_stop(void)
{
    if (distkvm_is_boot_node()) {
        node_wants_stop(0);
    } else {
        member_say(0, MESSAGE_WANT_STOP);
    }
}

bool distkvm_vm_start(void)
{
    Error *err = NULL;

    if (!distkvm || ctl.starting) {
        return false;
    }
    if (!distkvm_may_go_on(&err)) {
        error_report_err(err);
        return true;
    }
    ctl.want_start = true;
    if (node_is_formed()) {
        ask_start();
    }
    return true;
}

/* A guest that does not run here (yet) must not start. */
void distkvm_stop_asked(void)
{
    if (!distkvm || qatomic_read(&distkvm->failed)) {
        return;
    }
    if (runstate_is_running()) {
        /* The stop that follows this finds it done. */
        stop_here();
    } else {
        ctl.want_start = false;
        if (node_is_formed() && !power_off_is_leaving()) {
            ask_stop();
        }
    }
}

/* --------------------------------------------------------------- reset */

static void reset_phase(ResetPhase phase, MemberMessageType type)
{
    /* Messages of all phases have one body. */
    const MemberMessage message = {
        .type = type, .u.reset_pause.cause = ctl.reset_cause,
    };

    ctl.reset = phase;
    ctl.reached = coh_set_empty();
    member_broadcast(&message);
}

static void reset_resume_here(void)
{
    /* Also that of a reset asked for within this one: nothing has run since. */
    ctl.reset_due = false;
    resume_all_vcpus();
    if (!runstate_check(RUN_STATE_RUNNING) &&
        !runstate_check(RUN_STATE_PRELAUNCH)) {
        runstate_set(RUN_STATE_PRELAUNCH);
    }
}

static void reset_resume_all(void *unused)
{
    if (qatomic_read(&distkvm->failed)) {
        return;
    }
    reset_phase(RESET_IDLE, MESSAGE_RESET_RESUME);
    ctl.unfit = coh_set_empty();
    reset_resume_here();
    try_start();
}

static void reset_settled(void *unused)
{
    service_queue_main(reset_resume_all, NULL);
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
    qemu_system_reset(cause);
    distkvm->irq_epoch = qatomic_read(&distkvm->epoch);
}

static void reset_reached(CohNodeId from)
{
    coh_set_add(&ctl.reached, from);
    if (!has_all_nodes(&ctl.reached)) {
        return;
    }
    if (ctl.reset == RESET_PAUSING) {
        reset_phase(RESET_DOING, MESSAGE_RESET_DO);
        reset_here(ctl.reset_cause);
        reset_reached(distkvm->id);
    } else if (ctl.reset == RESET_DOING) {
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
    } else if (ctl.reset == RESET_IDLE) {
        ctl.reset_cause = cause;
        reset_phase(RESET_PAUSING, MESSAGE_RESET_PAUSE);
        pause_all_vcpus();
        reset_reached(distkvm->id);
    }
    if (runstate_needs_reset()) {
        /*
         * A "cont" may come before other nodes are through; it is kept.  The
         * reset of a follower may not come: node 0 may have -no-reboot.
         */
        ctl.reset_due = true;
        runstate_set(RUN_STATE_PRELAUNCH);
    }
    return true;
}

void cluster_runstate_ended(void)
{
    /*
     * -no-reboot: this may have been a reset of a guest that does not run, and
     * that "cont" lets go on, as on one machine.
     */
    try_start();
}

/* ------------------------------------------------------------- messages */

/* At node 0, from followers. */

static const char *serve_want_start(CohNodeId from,
                                    const MemberMessage *message)
{
    if (!pci_has_told(from)) {
        return "it wants the guest to run, and has not told of its PCI"
               " functions";
    }
    node_wants_start(from);
    return NULL;
}

static const char *serve_want_stop(CohNodeId from,
                                   const MemberMessage *message)
{
    node_wants_stop(from);
    return NULL;
}

static const char *serve_stopped(CohNodeId from,
                                 const MemberMessage *message)
{
    int64_t clock_ns = message->u.stopped.clock;

    if (!cluster_clock_may_be(clock_ns)) {
        return "its clock is absurd";
    }
    if (!ctl.started) {
        return "it has stopped a guest that has not run";
    }
    if (message->u.stopped.needs_reset && !coh_set_has(&ctl.unfit, from)) {
        say_warning("distkvm: node %d was stopped by an error, which its log"
                    " names: the guest goes on only after a reset", from);
        coh_set_add(&ctl.unfit, from);
        if (find_unfit() != COH_NODE_NONE) {
            /* A "cont" that came before this is refused as a later one is. */
            ctl.wants = coh_set_empty();
        }
    }
    node_stopped(from, clock_ns);
    return NULL;
}

static const char *serve_reset(CohNodeId from, const MemberMessage *message)
{
    qemu_system_reset_request(shutdown_cause_of(&message->u.reset));
    return NULL;
}

static const char *serve_reset_reached(CohNodeId from,
                                       const MemberMessage *message)
{
    if (ctl.reset == RESET_IDLE || coh_set_has(&ctl.reached, from)) {
        return "it reached a phase of a reset that it was not asked for";
    }
    reset_reached(from);
    return NULL;
}

/* At followers, from node 0. */

static const char *serve_start(CohNodeId from, const MemberMessage *message)
{
    power_off_settled();
    if (needs_reset()) {
        /* As after an error of KVM here, of which node 0 only knows a stop. */
        say_limited(&refused_starts, "distkvm: node %d cannot start this node,"
                    " whose guest has to be reset: reset it first", from);
        say_stopped(cluster_clock_freeze());
        return NULL;
    }
    start_here(message->u.start.clock);
    return NULL;
}

static const char *serve_stop(CohNodeId from, const MemberMessage *message)
{
    stop_here();
    return NULL;
}

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
    return NULL;
}

static const char *serve_reset_resume(CohNodeId from,
                                      const MemberMessage *message)
{
    reset_resume_here();
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_WANT_START, MEMBER_MAIN, serve_want_start },
    { MESSAGE_WANT_STOP, MEMBER_MAIN, serve_want_stop },
    { MESSAGE_STOPPED, MEMBER_MAIN, serve_stopped },
    { MESSAGE_RESET, MEMBER_MAIN, serve_reset },
    { MESSAGE_RESET_REACHED, MEMBER_MAIN, serve_reset_reached },
    { MESSAGE_START, MEMBER_MAIN, serve_start },
    { MESSAGE_STOP, MEMBER_MAIN, serve_stop },
    { MESSAGE_RESET_PAUSE, MEMBER_MAIN, serve_reset_pause },
    { MESSAGE_RESET_DO, MEMBER_MAIN, serve_reset_do },
    { MESSAGE_RESET_RESUME, MEMBER_MAIN, serve_reset_resume },
};

static void forget_want(void *node)
{
    coh_set_remove(&ctl.wants, GPOINTER_TO_UINT(node));
}

void cluster_runstate_left_early(CohNodeId node)
{
    /* In the main loop: behind the messages that it has sent. */
    service_queue_main(forget_want, GUINT_TO_POINTER(node));
}

void cluster_runstate_formed(void)
{
    if (ctl.want_start) {
        ask_start();
    }
}

void cluster_runstate_init(void)
{
    member_register(services, ARRAY_SIZE(services));
    qemu_add_vm_change_state_handler(vm_state_changed, NULL);
}
