/*
 * distkvm: power-off of the cluster
 *
 * Power-off, quit and a signal on any node end all of them.  Node 0 decides,
 * since -no-shutdown may keep the guest, and goes first: followers serve pages
 * until its process is gone.  Spec: docs/architecture.rst, "Run state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/cpus.h"
#include "system/distkvm.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "power-off.h"
#include "service.h"

static struct {
    bool leaving;               /* atomic: query-distkvm asks out of band */

    /* node 0 */
    void (*kept)(void);
    ShutdownCause paused_cause; /* -no-shutdown: why the guest is over */

    /* followers */
    bool asked;                 /* node 0, for the end */
    ShutdownCause cause;        /* of that, or of node 0's own end */
} off;

bool power_off_is_leaving(void)
{
    return qatomic_read(&off.leaving);
}

void power_off_settled(void)
{
    off.asked = false;
}

bool distkvm_powerdown(void)
{
    if (!distkvm || distkvm_is_boot_node() || !node_is_formed() ||
        qatomic_read(&distkvm->failed)) {
        return false;
    }
    member_say(0, MESSAGE_POWERDOWN);
    return true;
}

/* At node 0; followers serve pages until this process is gone. */
static void leave(ShutdownCause cause)
{
    MemberMessage message = { .type = MESSAGE_LEAVING };

    qatomic_set(&off.leaving, true);
    member_leaving();
    /* A signal ends the process of a guest that has ended itself before. */
    message.u.leaving.cause = runstate_check(RUN_STATE_SHUTDOWN)
                              ? off.paused_cause : cause;
    member_broadcast(&message);
}

bool distkvm_shutdown(ShutdownCause cause)
{
    MemberMessage message = { .type = MESSAGE_SHUTDOWN };
    /* An end by the guest may have no answer: -no-shutdown keeps the guest. */
    bool asked = off.asked && !shutdown_caused_by_guest(off.cause) &&
                 !shutdown_caused_by_guest(cause);

    if (!distkvm || !node_is_formed() || off.leaving ||
        qatomic_read(&distkvm->failed)) {
        return false;
    }
    if (!distkvm_is_boot_node()) {
        message.u.shutdown.cause = cause;
        member_send(0, &message);
        /* Asked twice: node 0 does not answer, so end alone. */
        if (!off.asked || !shutdown_caused_by_guest(cause)) {
            off.cause = cause;
        }
        off.asked = true;
        return !asked;
    }
    if (shutdown_action == SHUTDOWN_ACTION_PAUSE) {
        off.paused_cause = cause;
        off.kept();
        return false;
    }
    leave(cause);
    return false;
}

void distkvm_ends(ShutdownCause cause)
{
    if (distkvm && distkvm_is_boot_node() && node_is_formed() &&
        !off.leaving && !qatomic_read(&distkvm->failed)) {
        leave(cause);
    }
}

void power_off_failed(void)
{
    /* Node 0 will not answer that any more. */
    if (off.asked) {
        qemu_system_shutdown_request(off.cause);
    }
}

/* Node 0 is gone, in good order: faults get no answer any more. */
static void boot_node_left(void *unused)
{
    qemu_system_shutdown_request(off.cause);
}

void power_off_left(CohNodeId node)
{
    if (node == 0) {
        service_queue_main(boot_node_left, NULL);
    }
}

/* ------------------------------------------------------------- messages */

ShutdownCause shutdown_cause_of(const MemberCause *body)
{
    return body->cause > SHUTDOWN_CAUSE_NONE &&
           body->cause < SHUTDOWN_CAUSE__MAX
           ? body->cause : SHUTDOWN_CAUSE_HOST_QMP_QUIT;
}

/* At node 0, from followers. */

static const char *serve_powerdown(CohNodeId from,
                                   const MemberMessage *message)
{
    qemu_system_powerdown_request();
    return NULL;
}

static const char *serve_shutdown(CohNodeId from,
                                  const MemberMessage *message)
{
    ShutdownCause cause = shutdown_cause_of(&message->u.shutdown);

    if (!shutdown_caused_by_guest(cause)) {
        /* Ending a follower ends the cluster, -no-shutdown or not. */
        shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    }
    qemu_system_shutdown_request(cause);
    return NULL;
}

/* At followers, from node 0. */

static void leave_in_main_loop(void *opaque)
{
    qatomic_set(&off.leaving, true);
    off.cause = GPOINTER_TO_INT(opaque);
    pause_all_vcpus();
}

/* At once: node 0's connection may close before the main loop hears of it. */
static const char *serve_leaving(CohNodeId from,
                                 const MemberMessage *message)
{
    ShutdownCause cause = shutdown_cause_of(&message->u.leaving);

    member_leaving();
    service_queue_main(leave_in_main_loop, GINT_TO_POINTER(cause));
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_POWERDOWN, MEMBER_MAIN, serve_powerdown },
    { MESSAGE_SHUTDOWN, MEMBER_MAIN, serve_shutdown },
    { MESSAGE_LEAVING, MEMBER_THREAD, serve_leaving },
};

void power_off_listen(void (*kept)(void))
{
    off.kept = kept;
}

void power_off_init(void)
{
    member_register(services, ARRAY_SIZE(services));
}
