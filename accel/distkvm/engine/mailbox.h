/*
 * distkvm: the part of a lane that takes orders of other threads
 *
 * Frames to be sent, and functions to be called in the lane's thread.  A
 * thread that leaves an order wakes the lane if it sleeps, and only then: the
 * kick is a system call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MAILBOX_H
#define DISTKVM_MAILBOX_H

#include "qemu/event_notifier.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "outbox.h"

typedef struct Lane Lane;
typedef struct MailboxPost MailboxPost;
typedef struct MailboxCall MailboxCall;

/* In the thread of @lane. */
typedef void MailboxFn(Lane *lane, void *opaque);

typedef struct Mailbox {
    Outbox *outbox;
    Lane *lane;                 /* that calls are given                     */
    EventNotifier kick;
    bool sleeping;              /* atomic */
    QemuMutex lock;             /* the queues */
    QSIMPLEQ_HEAD(, MailboxPost) posts;
    QSIMPLEQ_HEAD(, MailboxCall) calls;
} Mailbox;

/* Send a copy of @frame, with its payload, to @to.  Any thread; never waits. */
void mailbox_post(Mailbox *mailbox, CohNodeId to, const WireFrame *frame);
/*
 * Call @fn(lane, @opaque) and wait for its end, @ms milliseconds at most: 0
 * does not wait.  False if it was not done by then.  It still may be: @opaque
 * must stay.  Any thread but the lane's.
 */
bool mailbox_call(Mailbox *mailbox, MailboxFn *fn, void *opaque, unsigned ms);
/* The same; waits until it is done, or *@hung (atomic) is true (hung.h). */
bool mailbox_call_done(Mailbox *mailbox, MailboxFn *fn, void *opaque,
                       const bool *hung);
/* Wake the lane if it sleeps.  Any thread; never waits. */
void mailbox_kick(Mailbox *mailbox);

/* The rest is the lane's thread's.  Are there no orders? */
bool mailbox_is_empty(const Mailbox *mailbox);
/* A kick is needed from here on: look for orders once more before sleeping. */
void mailbox_sleeps(Mailbox *mailbox);
/* No more.  @kicked: mailbox_fd() was readable. */
void mailbox_wakes(Mailbox *mailbox, bool kicked);
/* Becomes readable when there is an order for a lane that sleeps. */
int mailbox_fd(Mailbox *mailbox);

extern const LanePart mailbox_part;

#endif
