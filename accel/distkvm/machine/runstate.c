/*
 * distkvm: the run state of the cluster
 *
 * Stop, continue, reset and power-off on any node act on all of them.  Node 0
 * decides: it counts who wants to start and who has stopped, and walks resets
 * through their phases (all paused, all reset, all resumed).  Everything here
 * happens in the main loops, where vCPUs can be paused; nobody waits for a
 * peer.  Spec: docs/architecture.rst, "Run state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "system/system.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/vmi/lease.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/vmi/tsc.h"
#include "accel/distkvm/trace.h"

typedef enum {
    RESET_IDLE,
    RESET_PAUSING,
    RESET_DOING,
} ResetPhase;

static struct {
    bool formed;
    bool starting;              /* vm_start() comes from the cluster */
    bool want_start;            /* the user has said so here */
    bool leaving, shutdown_asked;
    ShutdownCause leaving_cause;

    /* node 0 */
    CohNodeSet wants, stopped, reached;
    bool started;               /* once */
    bool running;
    bool start_pending;
    int64_t clock_ns;           /* latest of all stopped clocks */
    ResetPhase reset;
    ShutdownCause reset_cause;
} ctl;

static bool has_all_nodes(const CohNodeSet *set)
{
    CohNodeSet members = distkvm_members();

    /* The rest of a cluster that has lost a node starts and resets nothing. */
    return !qatomic_read(&distkvm->failed) && coh_set_has_all(set, &members);
}

bool control_is_formed(void)
{
    return qatomic_read(&ctl.formed);
}

bool control_is_leaving(void)
{
    return ctl.leaving;
}

static void handle(CohNodeId from, const QDict *message);

/* Tell node 0, which may be this one. */
static void tell_boot_node(QDict *message)
{
    if (distkvm_is_boot_node()) {
        handle(0, message);
        qobject_unref(message);
    } else {
        member_send(0, message);
    }
}

/* ------------------------------------------------------- start and stop */

static void start_here(int64_t clock_ns)
{
    cluster_clock_start(clock_ns);
    ctl.starting = true;
    vm_start();
    ctl.starting = false;
}

/* Everybody wants to (at first), or has stopped and somebody wants to. */
static bool may_start(void)
{
    return !ctl.running && !qatomic_read(&distkvm->failed) &&
           ctl.reset == RESET_IDLE && !coh_set_is_empty(&ctl.wants) &&
           has_all_nodes(ctl.started ? &ctl.stopped : &ctl.wants);
}

static void start_all(void *unused)
{
    QDict *message;

    ctl.start_pending = false;
    if (!may_start()) {
        return;
    }
    message = member_message("start");
    ctl.wants = coh_set_empty();
    ctl.started = ctl.running = true;
    ctl.stopped = coh_set_empty();
    qdict_put_int(message, "clock", ctl.clock_ns);
    member_broadcast(message);
    start_here(ctl.clock_ns);
}

static void start_all_settled(void *unused)
{
    service_queue_main(start_all, NULL);
}

/* Start when everybody is ready and has our map. */
static void try_start(void)
{
    if (!ctl.start_pending && may_start()) {
        ctl.start_pending = true;
        mirror_then(mirror_last(), start_all_settled, NULL);
    }
}

static void node_stopped(CohNodeId from, int64_t clock_ns)
{
    ctl.clock_ns = MAX(ctl.clock_ns, clock_ns);
    coh_set_add(&ctl.stopped, from);
    if (ctl.running) {
        ctl.running = false;
        ctl.wants = coh_set_empty();
        member_broadcast(member_message("stop"));
        vm_stop(RUN_STATE_PAUSED);
    }
    try_start();
}

static void vm_state_changed(void *opaque, bool running, RunState state)
{
    QDict *message;

    if (running) {
        return;
    }
    message = member_message("stopped");
    qdict_put_int(message, "clock", cluster_clock_freeze());
    if (ctl.formed && !ctl.leaving && !qatomic_read(&distkvm->failed)) {
        tell_boot_node(message);
    } else {
        qobject_unref(message);
    }
}

bool distkvm_may_go_on(Error **errp)
{
    const char *why;
    CohNodeId node;

    if (!distkvm || !qatomic_read(&distkvm->failed)) {
        return true;
    }
    if (distkvm_qmp_first_lost(&node, &why)) {
        error_setg(errp, "distkvm: node %d (%s) is lost: %s. Its memory is gone,"
                   " so this guest neither goes on nor resets: quit, and start"
                   " all nodes again", node, distkvm->address[node], why);
    } else {
        error_setg(errp, "distkvm: this node has stopped the guest for good,"
                   " as its messages say: quit, and start all nodes again");
    }
    return false;
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
    if (ctl.formed) {
        tell_boot_node(member_message("want-start"));
    }
    return true;
}

/* Stop of a guest that does not run here (yet): it must not start. */
void distkvm_stop_asked(void)
{
    if (distkvm && !runstate_is_running() && !qatomic_read(&distkvm->failed)) {
        ctl.want_start = false;
        if (ctl.formed && !ctl.leaving) {
            tell_boot_node(member_message("want-stop"));
        }
    }
}

/* --------------------------------------------------------------- reset */

static void reset_phase(ResetPhase phase, const char *type)
{
    QDict *message = member_message(type);

    ctl.reset = phase;
    ctl.reached = coh_set_empty();
    qdict_put_int(message, "cause", ctl.reset_cause);
    member_broadcast(message);
}

static void reset_resume_here(void)
{
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
    reset_phase(RESET_IDLE, "reset-resume");
    reset_resume_here();
    try_start();
}

static void reset_settled(void *unused)
{
    service_queue_main(reset_resume_all, NULL);
}

static void reset_here(ShutdownCause cause)
{
    /* Interrupts sent before this are stale from now on. */
    qatomic_inc(&distkvm->epoch);
    qemu_system_reset(cause);
}

static void reset_reached(CohNodeId from)
{
    coh_set_add(&ctl.reached, from);
    if (!has_all_nodes(&ctl.reached)) {
        return;
    }
    if (ctl.reset == RESET_PAUSING) {
        reset_phase(RESET_DOING, "reset-do");
        reset_here(ctl.reset_cause);
        reset_reached(distkvm->id);
    } else if (ctl.reset == RESET_DOING) {
        mirror_then(mirror_last(), reset_settled, NULL);
    }
}

bool distkvm_reset(ShutdownCause cause)
{
    QDict *message;
    Error *err = NULL;

    if (!distkvm_may_go_on(&err)) {
        /* A guest that is reset would look as if it could be started. */
        error_report_err(err);
        return true;
    }
    if (!distkvm || !ctl.formed) {
        return false;
    }
    if (!distkvm_is_boot_node()) {
        message = member_message("reset");
        qdict_put_int(message, "cause", cause);
        member_send(0, message);
    } else if (ctl.reset == RESET_IDLE) {
        ctl.reset_cause = cause;
        reset_phase(RESET_PAUSING, "reset-pause");
        pause_all_vcpus();
        reset_reached(distkvm->id);
    }
    return true;
}

/* ------------------------------------------------------------ power-off */

bool distkvm_powerdown(void)
{
    if (!distkvm || distkvm_is_boot_node() || !ctl.formed ||
        qatomic_read(&distkvm->failed)) {
        return false;
    }
    member_send(0, member_message("powerdown"));
    return true;
}

bool distkvm_shutdown(ShutdownCause cause)
{
    QDict *message;
    bool asked;

    if (!distkvm || !ctl.formed || ctl.leaving ||
        qatomic_read(&distkvm->failed)) {
        return false;
    }
    if (!distkvm_is_boot_node()) {
        message = member_message("shutdown");
        qdict_put_int(message, "cause", cause);
        member_send(0, message);
        /* Asked twice: node 0 does not answer, so end alone. */
        asked = ctl.shutdown_asked;
        ctl.shutdown_asked = true;
        ctl.leaving_cause = cause;
        return !asked;
    }
    if (shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        /* Followers serve pages until this process is gone. */
        ctl.leaving = true;
        member_leaving();
        message = member_message("leaving");
        qdict_put_int(message, "cause", cause);
        member_broadcast(message);
    }
    return false;
}

void control_failed(void)
{
    /* Node 0 will not answer that any more. */
    if (ctl.shutdown_asked) {
        qemu_system_shutdown_request(ctl.leaving_cause);
    }
}

/* Node 0 is gone, in good order: nobody answers faults any more. */
static void boot_node_left(void *unused)
{
    qemu_system_shutdown_request(ctl.leaving_cause);
}

/* ------------------------------------------------------------- messages */

static ShutdownCause message_cause(const QDict *message)
{
    int64_t cause = qdict_get_try_int(message, "cause", 0);

    return cause > SHUTDOWN_CAUSE_NONE && cause < SHUTDOWN_CAUSE__MAX
           ? cause : SHUTDOWN_CAUSE_HOST_QMP_QUIT;
}

static void handle_boot_node(CohNodeId from, const char *type,
                             const QDict *message)
{
    if (!strcmp(type, "want-start")) {
        /* Said while it runs, it asks for nothing. */
        if (!ctl.running) {
            coh_set_add(&ctl.wants, from);
        }
        try_start();
    } else if (!strcmp(type, "want-stop")) {
        /* After the first start anybody's wish starts all. */
        if (ctl.started) {
            ctl.wants = coh_set_empty();
        } else {
            coh_set_remove(&ctl.wants, from);
        }
        if (ctl.running) {
            /* The start it did not want is on its way to it. */
            vm_stop(RUN_STATE_PAUSED);
        }
    } else if (!strcmp(type, "stopped")) {
        int64_t clock_ns = qdict_get_try_int(message, "clock", 0);

        if (cluster_clock_may_be(clock_ns)) {
            node_stopped(from, clock_ns);
        } else {
            member_expel(from, "its clock is absurd");
        }
    } else if (!strcmp(type, "reset")) {
        qemu_system_reset_request(message_cause(message));
    } else if (!strcmp(type, "reset-reached")) {
        reset_reached(from);
    } else if (!strcmp(type, "powerdown")) {
        qemu_system_powerdown_request();
    } else if (!strcmp(type, "shutdown")) {
        if (!shutdown_caused_by_guest(message_cause(message))) {
            /* Who ended a follower means the cluster, -no-shutdown or not. */
            shutdown_action = SHUTDOWN_ACTION_POWEROFF;
        }
        qemu_system_shutdown_request(message_cause(message));
    }
}

static void handle_follower(const char *type, const QDict *message)
{
    if (!strcmp(type, "start")) {
        /* Node 0 went on: what was asked for before is settled. */
        ctl.shutdown_asked = false;
        start_here(qdict_get_try_int(message, "clock", 0));
    } else if (!strcmp(type, "stop")) {
        vm_stop(RUN_STATE_PAUSED);
    } else if (!strcmp(type, "reset-pause")) {
        pause_all_vcpus();
        member_send(0, member_message("reset-reached"));
    } else if (!strcmp(type, "reset-do")) {
        ctl.shutdown_asked = false;
        reset_here(message_cause(message));
        member_send(0, member_message("reset-reached"));
    } else if (!strcmp(type, "reset-resume")) {
        reset_resume_here();
    } else if (!strcmp(type, "leaving")) {
        ctl.leaving = true;
        ctl.leaving_cause = message_cause(message);
        pause_all_vcpus();
    }
}

static void handle(CohNodeId from, const QDict *message)
{
    const char *type = qdict_get_str(message, "type");

    trace_distkvm_control(distkvm->id, from, type);
    if (distkvm_is_boot_node()) {
        handle_boot_node(from, type, message);
    } else if (from == 0) {
        handle_follower(type, message);
    }
}

typedef struct ControlItem {
    CohNodeId from;
    QDict *message;
} ControlItem;

static ControlItem *item_new(CohNodeId from, const QDict *message)
{
    ControlItem *item = g_new(ControlItem, 1);

    item->from = from;
    item->message = qdict_clone_shallow(message);
    return item;
}

static void item_free(ControlItem *item)
{
    qobject_unref(item->message);
    g_free(item);
}

static void handle_in_main_loop(void *opaque)
{
    ControlItem *item = opaque;

    handle(item->from, item->message);
    item_free(item);
}

static void mirror_in_service(void *opaque)
{
    ControlItem *item = opaque;

    if (!strcmp(qdict_get_str(item->message, "type"), "rom")) {
        map_rom_message(item->from, item->message);
    } else {
        mirror_apply(item->from, item->message);
    }
    item_free(item);
}

void control_message(CohNodeId from, const QDict *message)
{
    const char *type;

    type = qdict_get_str(message, "type");
    if (!strcmp(type, "mirrored")) {
        mirror_acked(from, qdict_get_try_int(message, "seq", 0));
    } else if (!strcmp(type, "apic") || !strcmp(type, "map") ||
               !strcmp(type, "rom")) {
        service_queue(mirror_in_service, item_new(from, message));
    } else {
        if (!strcmp(type, "leaving")) {
            member_leaving();
        }
        service_queue_main(handle_in_main_loop, item_new(from, message));
    }
}

void control_peer_left(CohNodeId peer)
{
    /* Whoever waits for it waits in vain; the guest is over anyway. */
    distkvm_release_waiters();
    if (peer == 0) {
        service_queue_main(boot_node_left, NULL);
    }
}

/*
 * A peer whose frames pass may still be busy under its big lock, as while it
 * writes a dump: that is no loss, but it is named.
 */
static void name_wait(bool *said, int64_t since_ns, int64_t limit_ms,
                      CohNodeId node, const char *what)
{
    int64_t ms = since_ns ? (get_clock() - since_ns) / SCALE_MS : 0;

    if (ms <= limit_ms) {
        *said = false;
    } else if (!*said) {
        *said = true;
        say_warning("distkvm: node %d (%s) has not %s for %" PRId64 " ms,"
                    " and the guest may stand still until it does", node,
                    distkvm->address[node], what, ms);
    }
}

void control_watch(int64_t limit_ms)
{
    static bool said_io, said_token, said_mirror;
    CohNodeId node = 0, holder;
    int64_t since = mirror_waits_since_ns(&node);
    int64_t token_since = token_waits_since_ns(&holder);

    name_wait(&said_mirror, since, limit_ms, node,
              "acknowledged a change of the memory map or of a local APIC");
    name_wait(&said_io, io_waits_since_ns(), limit_ms, 0,
              "answered a device access");
    name_wait(&said_token, token_since, limit_ms, holder,
              "let go of, or granted, a misaligned LOCK");
}

void control_cannot_join(const char *why)
{
    qemu_system_shutdown_request_with_code(SHUTDOWN_CAUSE_HOST_ERROR, 1);
}

void control_formed(void)
{
    Error *err = NULL;

    qatomic_set(&ctl.formed, true);
    say_info("distkvm: node %d: all %u nodes have joined", distkvm->id,
             distkvm->nodes);
    if (distkvm_is_boot_node()) {
        map_announce();
    }
    engine_settle_prejoin(distkvm->engine, distkvm_is_boot_node());
    if (!vmi_tsc_start(&err)) {
        distkvm_fail(error_get_pretty(err));
        error_free(err);
    }
    lease_start();
    if (ctl.want_start) {
        tell_boot_node(member_message("want-start"));
    }
}

void control_init(void)
{
    distkvm_qmp_init();
    qemu_add_vm_change_state_handler(vm_state_changed, NULL);
}
