/*
 * distkvm: the part of a lane that serves requests of this node's threads
 *
 * A page fault asks by touching; a request asks in words: let me read or write
 * the page, do an operation on a word of it wherever it is, let it go.
 * Requests for one page are served in order; a group of requests for several
 * pages is under way at once.  An operation goes to the page's owner.  Where no
 * node owns it, the page comes here and the operation is done as soon as it
 * has, so it cannot be taken away before.  An operation that no node answers
 * is taken up again in that way: the fetch of a page is timed (late.h), and
 * the home knows which node keeps it.  Where a whole page is put here, the page
 * comes without its bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REQUEST_H
#define DISTKVM_REQUEST_H

#include "deliver.h"
#include "fault.h"
#include "op-number.h"
#include "request-group.h"

typedef enum RequestKind {
    REQUEST_VALID,          /* the page, to read it, or to write it         */
    REQUEST_OPERATE,        /* an operation on a word or on bytes           */
    REQUEST_GIVE_UP,        /* not to have the page any more                */
} RequestKind;

/*
 * Operations with bytes, of a lane, under way at once at most: 1 MiB of pages.
 * An owner sends so much before the next page or the next ping's answer, and a
 * home keeps so much that is put.
 */
#define REQUEST_COPIES_MAX 256

/* The asking thread's until it is added, and again when its group is done. */
typedef struct Request {
    RequestKind kind;
    CohPage page;
    bool write;
    CohOp op;
    uint32_t epoch;         /* the guest's resets so far                    */
    void *bytes;            /* that @op moves; or NULL                      */
    bool fill;              /* @op puts a whole page, and shall do it here   */
    uint32_t tid;
    RequestGroup *group;
    /*
     * Results: 0, -EIO if a node is lost, -EBUSY, -ECANCELED if the guest was
     * reset, -ETIMEDOUT if a word may have changed or not; its old value.
     */
    int result;
    uint64_t value;
    bool came;              /* the page came, or became this node's, for it */
    bool filled;            /* the page came without its bytes              */
    /* The lane's.  Number of the operation under way; 0: none. */
    uint64_t id;
    bool here;              /* it can be done on this node only             */
    bool overdue;           /* so: the operation under way is not answered  */
    bool copies;            /* it is one of the copies under way            */
    bool starved;           /* it waits until there are fewer of these      */
    unsigned looks;         /* that found the answer late                   */
    int64_t since_ns, due_ns;
} Request;

typedef struct Requests {
    LaneCtx *ctx;
    Deliver *deliver;
    Executor *executor;
    Faults *faults;
    GHashTable *queues;     /* CohPage -> GQueue of Request */
    GArray *moved;          /* CohPage: to be tried again */
    unsigned copies;        /* operations with bytes, under way */
    /* Pages being filled, by the last bit of the number of resets. */
    unsigned filling[2];
    RequestGroup *settling; /* waits for those of before the reset, or NULL */
    GQueue starved;         /* pages, g_free, whose copy waits for others */
    GHashTable *overdue;    /* CohPage -> number that was not answered */
    OpNumbers numbers;
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
/*
 * Look for operations that have not been answered for twice @limit_ns: their
 * pages come.  Called as often as late_look().
 */
void requests_look(Requests *requests, int64_t limit_ns);
/*
 * Of @group, the lane's one is done when no page is being filled as it was asked
 * before the guest's last reset.  One group at a time.
 */
void requests_settle(Requests *requests, RequestGroup *group);
/* A pin has ended: operations on pages of its LOCK are possible again. */
void requests_unpinned(Requests *requests);

extern const PageHooks requests_hooks;
/* Runs requests that are to be tried again because time has passed. */
extern const LanePart requests_part;
/* Runs requests_run_events(). */
extern const LanePart requests_events_pass;

#endif
