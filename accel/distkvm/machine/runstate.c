/*
 * distkvm: the run state of the cluster
 *
 * Stop and continue on any node act on all of them.  Node 0 decides: it counts
 * nodes that want to start or have stopped.  All of it happens in the main
 * loops, where vCPUs can be paused; no thread waits for a peer.  Resets are
 * reset.c's, and the end is power-off.c's.  Spec: docs/architecture.rst, "Run
 * state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/runstate.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/say.h"
#include "pci.h"
#include "power-off.h"
#include "replica.h"
#include "reset.h"
#include "runstate.h"
#include "service.h"

static struct {
    bool starting;              /* vm_start() comes from the cluster */
    bool want_start;            /* the user has said so here */
    bool started;               /* once */

    /* node 0 */
    CohNodeSet wants, stopped;
    CohNodeSet unfit;           /* stopped by an error: a reset comes first */
    bool running;
    bool start_pending;
    int64_t clock_ns;           /* latest of all stopped clocks */
} ctl;

static SayLimit refused_starts = { .subject = "starts were refused" };

/* ------------------------------------------------------- start and stop */

static bool needs_reset(void)
{
    return runstate_needs_reset() || cluster_reset_is_due();
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
           cluster_reset_is_idle() && !needs_reset() &&
           coh_set_is_empty(&ctl.unfit) &&
           !coh_set_is_empty(&ctl.wants) &&
           distkvm_is_whole(ctl.started ? &ctl.stopped : &ctl.wants);
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
                                 cluster_reset_is_due(),
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
    if (qemu_reset_requested_get() || !cluster_reset_is_idle()) {
        return COH_NODE_NONE;
    }
    return needs_reset() ? 0 : coh_set_next(&ctl.unfit, 0);
}

bool distkvm_may_continue(Error **errp)
{
    CohNodeId unfit;

    if (!distkvm_may_go_on(errp)) {
        return false;
    }
    unfit = distkvm && distkvm_is_boot_node() ? find_unfit() : COH_NODE_NONE;
    /* QEMU has words of its own for its run state. */
    if (unfit != COH_NODE_NONE && !runstate_needs_reset()) {
        error_setg(errp, "distkvm: node %d was stopped by an error, which its"
                   " log names, and the guest has to be reset: reset it first",
                   unfit);
        return false;
    }
    return true;
}

static void say_refused(CohNodeId from, CohNodeId unfit)
{
    say_limited(&refused_starts, "distkvm: node %d cannot let a guest go on that"
                " has to be reset for the state of node %d: reset it first",
                from, unfit);
}

/* Node 0: the user of @from says "cont". */
static void node_wants_start(CohNodeId from)
{
    CohNodeId unfit = find_unfit();

    /* At first each node says once that it wants to start. */
    if (ctl.started && unfit != COH_NODE_NONE) {
        say_refused(from, unfit);
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

/* ------------------------------------------------------ resets and ends */

static void was_reset(CohNodeId node)
{
    coh_set_remove(&ctl.unfit, node);
}

static void reset_failed(void)
{
    if (runstate_is_running()) {
        vm_stop(RUN_STATE_INTERNAL_ERROR);
    } else if (ctl.started && !distkvm_is_boot_node()) {
        /* vm_stop() would do nothing to a guest that does not run. */
        say_stopped(cluster_clock_freeze());
    }
}

static void all_reset(void)
{
    CohNodeId unfit = find_unfit();

    if (ctl.started && unfit != COH_NODE_NONE &&
        !coh_set_is_empty(&ctl.wants)) {
        /* Like later ones, a "cont" from before does not wait for a reset. */
        say_refused(coh_set_next(&ctl.wants, 0), unfit);
        ctl.wants = coh_set_empty();
    }
    try_start();
}

/* Node 0: the guest is over, and -no-shutdown keeps it. */
static void kept_at_end(void)
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

/* At followers, from node 0. */

static const char *serve_start(CohNodeId from, const MemberMessage *message)
{
    power_off_settled();
    ctl.started = true;
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

static const MemberService services[] = {
    { MESSAGE_WANT_START, MEMBER_MAIN, serve_want_start },
    { MESSAGE_WANT_STOP, MEMBER_MAIN, serve_want_stop },
    { MESSAGE_STOPPED, MEMBER_MAIN, serve_stopped },
    { MESSAGE_START, MEMBER_MAIN, serve_start },
    { MESSAGE_STOP, MEMBER_MAIN, serve_stop },
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
    static const ResetListener listener = {
        .was_reset = was_reset,
        .all_reset = all_reset,
        .failed = reset_failed,
    };

    member_register(services, ARRAY_SIZE(services));
    cluster_reset_listen(&listener);
    power_off_listen(kept_at_end);
    qemu_add_vm_change_state_handler(vm_state_changed, NULL);
}
