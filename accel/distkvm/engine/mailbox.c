/*
 * distkvm: the part of a lane that takes orders of other threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "hung.h"
#include "mailbox.h"

struct MailboxPost {
    QSIMPLEQ_ENTRY(MailboxPost) next;
    CohNodeId to;
    WireFrame frame;
    uint8_t payload[];
};

/*
 * The calling thread may wait for @done, and may stop waiting before: so it
 * and the lane hold a reference each.
 */
struct MailboxCall {
    QSIMPLEQ_ENTRY(MailboxCall) next;
    MailboxFn *fn;
    void *opaque;
    int refs;                   /* atomic */
    QemuSemaphore done;
};

static void mailbox_init(void *part, LaneCtx *ctx)
{
    Mailbox *mailbox = part;

    qemu_mutex_init(&mailbox->lock);
    QSIMPLEQ_INIT(&mailbox->posts);
    QSIMPLEQ_INIT(&mailbox->calls);
    event_notifier_init(&mailbox->kick, false);
}

static void call_unref(MailboxCall *call)
{
    if (qatomic_fetch_dec(&call->refs) == 1) {
        qemu_sem_destroy(&call->done);
        g_free(call);
    }
}

static void mailbox_free(void *part)
{
    Mailbox *mailbox = part;
    MailboxPost *post;
    MailboxCall *call;

    while ((post = QSIMPLEQ_FIRST(&mailbox->posts))) {
        QSIMPLEQ_REMOVE_HEAD(&mailbox->posts, next);
        g_free(post);
    }
    while ((call = QSIMPLEQ_FIRST(&mailbox->calls))) {
        QSIMPLEQ_REMOVE_HEAD(&mailbox->calls, next);
        call_unref(call);
    }
    event_notifier_cleanup(&mailbox->kick);
    qemu_mutex_destroy(&mailbox->lock);
}

/* ---------------------------------------------------- from other threads */

void mailbox_kick(Mailbox *mailbox)
{
    /* Pairs with the barrier in mailbox_sleeps(). */
    smp_mb();
    if (qatomic_read(&mailbox->sleeping)) {
        event_notifier_set(&mailbox->kick);
    }
}

void mailbox_post(Mailbox *mailbox, CohNodeId to, const WireFrame *frame)
{
    MailboxPost *post = g_malloc(sizeof(*post) + frame->len);

    post->to = to;
    post->frame = *frame;
    if (frame->len) {
        memcpy(post->payload, frame->payload, frame->len);
    }
    post->frame.payload = post->payload;
    WITH_QEMU_LOCK_GUARD(&mailbox->lock) {
        QSIMPLEQ_INSERT_TAIL(&mailbox->posts, post, next);
    }
    mailbox_kick(mailbox);
}

static MailboxCall *post_call(Mailbox *mailbox, MailboxFn *fn, void *opaque)
{
    MailboxCall *call = g_new0(MailboxCall, 1);

    call->fn = fn;
    call->opaque = opaque;
    call->refs = 2;
    qemu_sem_init(&call->done, 0);
    WITH_QEMU_LOCK_GUARD(&mailbox->lock) {
        QSIMPLEQ_INSERT_TAIL(&mailbox->calls, call, next);
    }
    mailbox_kick(mailbox);
    return call;
}

bool mailbox_call(Mailbox *mailbox, MailboxFn *fn, void *opaque, unsigned ms)
{
    MailboxCall *call = post_call(mailbox, fn, opaque);
    bool done = qemu_sem_timedwait(&call->done, ms) == 0;

    call_unref(call);
    return done;
}

bool mailbox_call_done(Mailbox *mailbox, MailboxFn *fn, void *opaque,
                       const bool *hung)
{
    MailboxCall *call = post_call(mailbox, fn, opaque);
    bool done = hung_wait(&call->done, hung);

    call_unref(call);
    return done;
}

/* ------------------------------------------------------ the lane's thread */

bool mailbox_is_empty(const Mailbox *mailbox)
{
    return QSIMPLEQ_EMPTY_ATOMIC(&mailbox->posts) &&
           QSIMPLEQ_EMPTY_ATOMIC(&mailbox->calls);
}

static bool mailbox_run(void *part)
{
    Mailbox *mailbox = part;
    QSIMPLEQ_HEAD(, MailboxPost) posts = QSIMPLEQ_HEAD_INITIALIZER(posts);
    QSIMPLEQ_HEAD(, MailboxCall) calls = QSIMPLEQ_HEAD_INITIALIZER(calls);
    MailboxPost *post;
    MailboxCall *call;
    bool any = false;

    if (mailbox_is_empty(mailbox)) {
        return false;
    }
    WITH_QEMU_LOCK_GUARD(&mailbox->lock) {
        QSIMPLEQ_CONCAT(&posts, &mailbox->posts);
        QSIMPLEQ_CONCAT(&calls, &mailbox->calls);
    }
    while ((post = QSIMPLEQ_FIRST(&posts))) {
        QSIMPLEQ_REMOVE_HEAD(&posts, next);
        outbox_send(mailbox->outbox, post->to, &post->frame);
        g_free(post);
        any = true;
    }
    while ((call = QSIMPLEQ_FIRST(&calls))) {
        QSIMPLEQ_REMOVE_HEAD(&calls, next);
        call->fn(mailbox->lane, call->opaque);
        qemu_sem_post(&call->done);
        call_unref(call);
        any = true;
    }
    return any;
}

void mailbox_sleeps(Mailbox *mailbox)
{
    qatomic_set(&mailbox->sleeping, true);
    /* Pairs with the barrier in mailbox_kick(). */
    smp_mb();
}

void mailbox_wakes(Mailbox *mailbox, bool kicked)
{
    if (kicked) {
        event_notifier_test_and_clear(&mailbox->kick);
    }
    /* A kick from here on ends the next sleep, at once and in vain. */
    qatomic_set(&mailbox->sleeping, false);
}

int mailbox_fd(Mailbox *mailbox)
{
    return event_notifier_get_fd(&mailbox->kick);
}

const LanePart mailbox_part = {
    .init = mailbox_init,
    .free = mailbox_free,
    .run = mailbox_run,
};
