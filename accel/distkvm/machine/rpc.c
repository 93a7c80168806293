/*
 * distkvm: frames that wait for an answer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "rpc.h"

/* A call that waits for its answer; lives on the stack of its thread. */
typedef struct Call {
    uint64_t number;
    CohNodeId to;
    WireType answer_type;
    int64_t since_ns;
    QemuSemaphore done;
    bool answered;
    WireFrame *answer;
    QLIST_ENTRY(Call) next;
} Call;

static struct {
    QemuMutex lock;
    uint64_t last_number;               /* under lock, as the rest */
    bool failed;
    QLIST_HEAD(, Call) calls;           /* the newest is first */
} rpc;

/* False: a node is lost, and no answer would come. */
static bool begin(Call *call)
{
    QEMU_LOCK_GUARD(&rpc.lock);
    if (rpc.failed) {
        return false;
    }
    qemu_sem_init(&call->done, 0);
    call->number = ++rpc.last_number;
    call->since_ns = get_clock();
    QLIST_INSERT_HEAD(&rpc.calls, call, next);
    return true;
}

static void wait_for_answer(Call *call)
{
    /* Never wait for a peer with the BQL held. */
    bool locked = bql_locked();

    if (locked) {
        bql_unlock();
    }
    qemu_sem_wait(&call->done);
    if (locked) {
        bql_lock();
    }
}

bool rpc_call(CohNodeId to, WireFrame *request, WireType answer_type,
              WireFrame *answer)
{
    Call call = { .to = to, .answer_type = answer_type, .answer = answer };

    if (!node_is_formed() || !begin(&call)) {
        return false;
    }
    request->call = call.number;
    engine_post(distkvm->engine, to, request);
    wait_for_answer(&call);
    qemu_sem_destroy(&call.done);
    return call.answered;
}

void rpc_answer(const WireFrame *request, WireFrame *answer)
{
    answer->call = request->call;
    engine_post(distkvm->engine, request->from, answer);
}

/* The answer must come from the node that was asked, and be of its type. */
static const char *serve_answer(const WireFrame *frame)
{
    Call *call;

    QEMU_LOCK_GUARD(&rpc.lock);
    QLIST_FOREACH(call, &rpc.calls, next) {
        if (call->number == frame->call && call->to == frame->from &&
            call->answer_type == frame->type) {
            break;
        }
    }
    if (!call) {
        /* After a loss the calls are gone, and their answers may come. */
        return rpc.failed ? NULL : "an answer nobody asked for";
    }
    QLIST_REMOVE(call, next);
    *call->answer = *frame;
    call->answered = true;
    qemu_sem_post(&call->done);
    return NULL;
}

void rpc_register_answer(WireType type)
{
    static const FrameService answer_service = {
        .name = "answer", .context = FRAME_NOW, .serve = serve_answer,
    };

    dispatch_register(type, &answer_service);
}

int64_t rpc_waits_since_ns(CohNodeId *node)
{
    int64_t since = 0;
    Call *call;

    QEMU_LOCK_GUARD(&rpc.lock);
    QLIST_FOREACH(call, &rpc.calls, next) {
        since = call->since_ns;
        *node = call->to;
    }
    return since;
}

/* No answer will come any more: every call ends.  Perhaps called again. */
static void rpc_fail(void *unused)
{
    Call *call, *next;

    QEMU_LOCK_GUARD(&rpc.lock);
    rpc.failed = true;
    QLIST_FOREACH_SAFE(call, &rpc.calls, next, next) {
        QLIST_REMOVE(call, next);
        qemu_sem_post(&call->done);
    }
}

void rpc_init(void)
{
    qemu_mutex_init(&rpc.lock);
    QLIST_INIT(&rpc.calls);
    rpc.failed = false;
    failure_register(FAILURE_RELEASE, rpc_fail, NULL);
}
