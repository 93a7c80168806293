/*
 * distkvm: the part of a lane that serves requests of this node's threads
 *
 * A page fault asks by touching; a request asks in words: let me read or write
 * the page, do an operation on a word of it wherever it is, let it go.
 * Requests for one page are served in order.  An operation goes to the page's
 * owner.  Where no node owns it, the page comes here and the operation is done
 * as soon as it has, so it cannot be taken away before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REQUEST_H
#define DISTKVM_REQUEST_H

#include "qemu/thread.h"
#include "deliver.h"
#include "fault.h"

typedef enum RequestKind {
    REQUEST_VALID,          /* the page, to read it, or to write it         */
    REQUEST_OPERATE,        /* an operation on a word                       */
    REQUEST_GIVE_UP,        /* not to have the page any more                */
} RequestKind;

/* The asking thread's until it is added, and again when @done is posted. */
typedef struct Request {
    RequestKind kind;
    CohPage page;
    bool write;
    CohOp op;
    uint32_t tid;
    QemuSemaphore done;
    /* Results: 0, -EIO if a node is lost, -EBUSY; the word's old value. */
    int result;
    uint64_t value;
    /* The lane's.  The operation under way; 0: none. */
    uint64_t id;
    bool here;              /* it can be done on this node only             */
    int64_t since_ns, due_ns;
} Request;

typedef struct Requests {
    LaneCtx *ctx;
    Deliver *deliver;
    Executor *executor;
    Faults *faults;
    GHashTable *queues;     /* CohPage -> GQueue of Request */
    GArray *moved;          /* CohPage: to be tried again */
    uint64_t last_id;
    int64_t due_ns;
} Requests;

void requests_add(Requests *requests, Request *request);
/*
 * Try requests again whose pages have moved.  Called directly after each frame
 * and each event, because that order is correctness: an operation whose page
 * was fetched for it is done before the next frame, which might take the page
 * away.
 */
void requests_run_moved(Requests *requests);
/*
 * The events that this node sent itself, each followed by the former.  True if
 * there were any.
 */
bool requests_run_events(Requests *requests);
/* A pin has ended: operations on pinned pages are possible again. */
void requests_unpinned(Requests *requests);

extern const PageHooks requests_hooks;
/* Runs requests that are to be tried again because time has passed. */
extern const LanePart requests_part;
/* Runs requests_run_events(). */
extern const LanePart requests_events_pass;

#endif
