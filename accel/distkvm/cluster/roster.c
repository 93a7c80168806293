/*
 * distkvm: every node, and how far it is
 *
 * A member that is lost before the cluster has formed may come back; later the
 * guest is lost with it.  Runs on the member thread.
 * Spec: docs/architecture.rst, "Membership", "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/text.h"
#include "message.h"
#include "roster.h"
#include "accel/distkvm/trace.h"

/* A connection that ended is not dialed again at once. */
#define LEFT_DIAL_MS 300

Membership mm;

void roster_init(const MemberOps *ops)
{
    qemu_mutex_init(&mm.lock);
    mm.context = g_main_context_new();
    mm.ops = ops;
    mm.start_ms = member_now_ms();
    for (CohNodeId n = 0; n < COH_NODES_MAX; n++) {
        mm.member[n].id = n;
    }
}

void roster_leaving(void)
{
    qatomic_set(&mm.leaving, true);
    if (mm.ops->leaving) {
        mm.ops->leaving();
    }
}

void roster_give_up(const char *why)
{
    if (!mm.gave_up && !mm.formed) {
        g_autofree char *shown = text_line(why);

        mm.gave_up = true;
        say_error("distkvm: node %d cannot join: %s", distkvm->id, shown);
        roster_leaving();
        mm.ops->cannot_join(shown);
    }
}

void roster_step_done(Member *m)
{
    m->since_ms = member_now_ms();
}

void roster_send(Member *m, const MemberMessage *message)
{
    QEMU_LOCK_GUARD(&mm.lock);
    if (m->channel) {
        message_send(m->channel, message);
    }
}

void roster_tell(Member *m, const QDict *message)
{
    QEMU_LOCK_GUARD(&mm.lock);
    if (m->channel && qatomic_read(&m->state) == MEMBER_JOINED) {
        channel_send(m->channel, message);
    }
}

void roster_tell_all(const MemberMessage *message)
{
    g_autoptr(QDict) dict = message_format(message);

    CohNodeSet members = distkvm_members();
    CohNodeId n;

    COH_SET_FOREACH(n, &members) {
        roster_tell(&mm.member[n], dict);
    }
}

void roster_forget(Member *m)
{
    qatomic_set(&m->incarnation, m->incarnation + 1);
    m->known = m->addressed = m->address_sent = m->lanes_dialed = false;
    m->reachable = m->ready_sent = m->ready = false;
    m->trying = m->reached_sent = m->reached = false;
    m->lanes = 0;
    m->misleads = false;
    g_clear_pointer(&m->apart, g_free);
    g_clear_pointer(&m->address, g_free);
    g_clear_pointer(&m->ucx, g_byte_array_unref);
}

static void drop_channel(Member *m)
{
    Channel *c;

    WITH_QEMU_LOCK_GUARD(&mm.lock) {
        c = m->channel;
        m->channel = NULL;
    }
    if (c) {
        channel_free(c);
    }
}

/* ---------------------------------------------------------------- losses */

static void show_view(uint64_t number)
{
    View view = view_get(&distkvm->view);

    trace_distkvm_view(number, view.members.word[0]);
}

void roster_add(Member *m)
{
    show_view(view_add(&distkvm->view, m->id));
}

static void remove_from_view(Member *m)
{
    show_view(view_remove(&distkvm->view, m->id));
}

static bool is_over(const Member *m)
{
    return m->state == MEMBER_LOST || m->state == MEMBER_LEFT;
}

/* The guest is lost with @m. */
static void declare_lost(Member *m, const char *why)
{
    g_autofree char *text = g_strdup_printf(
        "node %d (%s) is lost: %s; it ran %u vCPUs and was home of %" PRIu64
        " MiB of RAM", m->id, distkvm->address[m->id], why,
        cpu_places_count(&distkvm->cpus, m->id),
        distkvm->map->share[m->id] >> (20 - COH_PAGE_BITS));
    const MemberMessage message = {
        .type = MESSAGE_LOST,
        .u.lost = { .node = m->id, .why = (char *)why },
    };

    qatomic_set(&m->state, MEMBER_LOST);
    roster_tell_all(&message);
    if (mm.ops->lost) {
        mm.ops->lost(m->id, why);
    }
    mm.ops->failed(text);
    /* The others are not to be taken for the whole cluster. */
    remove_from_view(m);
}

static void has_left(Member *m)
{
    qatomic_set(&m->state, MEMBER_LEFT);
    remove_from_view(m);
    mm.ops->left(m->id);
}

/* It may come back: nothing depends on it yet. */
static void lose_early(Member *m, const char *why)
{
    if (g_strcmp0(m->why, why)) {
        say_refusal("distkvm: node %d left before the guest started (%s)",
                    m->id, why);
        g_free(m->why);
        m->why = g_strdup(why);
    }
    qatomic_set(&m->state, MEMBER_ABSENT);
    remove_from_view(m);
    m->dial_ms = member_now_ms() + LEFT_DIAL_MS;
    if (m->known) {
        engine_disconnect(distkvm->engine, m->id);
    }
    roster_forget(m);
    if (mm.ops->left_early) {
        mm.ops->left_early(m->id);
    }
}

void roster_broken(const char *why)
{
    Member *self = &mm.member[distkvm->id];

    if (is_over(self)) {
        return;
    }
    if (!mm.formed) {
        roster_give_up(why);
    } else if (qatomic_read(&mm.leaving)) {
        has_left(self);
    } else {
        declare_lost(self, why);
    }
}

void roster_lane_hangs(int lane)
{
    g_autofree char *why = g_strdup_printf(
        "this node's engine thread (lane %d) hangs", lane);

    mm.hangs = true;
    roster_broken(why);
}

/*
 * A peer that gives up this node, or is silent, may have its reason in a lane
 * here that has not moved for half of dead-after-ms; -1: in none.
 */
static int own_lane_at_fault(void)
{
    return mm.formed && !mm.hangs && !qatomic_read(&mm.leaving)
           ? engine_hangs(distkvm->engine,
                          distkvm->dead_after_ms * SCALE_MS / 2) : -1;
}

void roster_lose(Member *m, const char *why)
{
    int lane = own_lane_at_fault();

    if (is_over(m) || m->state == MEMBER_ABSENT) {
        return;
    }
    if (lane >= 0) {
        roster_lane_hangs(lane);
        drop_channel(m);
        qatomic_set(&m->state, MEMBER_LEFT);
        remove_from_view(m);
        return;
    }
    drop_channel(m);
    if (qatomic_read(&mm.leaving)) {
        has_left(m);
    } else if (!mm.formed) {
        lose_early(m, why);
    } else {
        declare_lost(m, why);
    }
}
