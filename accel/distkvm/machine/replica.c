/*
 * distkvm: state that every node keeps a copy of
 *
 * A change is told under the BQL, where waiting is wrong; its cause waits
 * outside: a vCPU before it executes on, a forwarded access before it is
 * answered.  An acknowledgement means "applied", never "vCPUs ran".
 * Spec: docs/architecture.rst, "Replicas".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"
#include "replica.h"
#include "accel/distkvm/trace.h"

/* An access that left under the map before is here by then. */
#define SETTLED_NS NANOSECONDS_PER_SECOND

typedef struct ReplicaThen {
    uint64_t seq;
    void (*fn)(void *opaque);
    void *opaque;
} ReplicaThen;

static struct {
    QemuMutex lock;
    QemuCond cond;
    uint64_t last;                      /* told; under lock */
    uint64_t acked[COH_NODES_MAX];      /* under lock */
    int64_t begun_ns[COH_NODES_MAX];    /* under lock: it acked the first */
    int64_t since_ns[COH_NODES_MAX];    /* under lock: it has not acked more */
    GArray *then;                       /* ReplicaThen; under lock */
    bool failed;                        /* under lock */
    const ReplicaKind *kinds[MESSAGE__MAX];     /* constant after start */
} replica;

static uint64_t settled_locked(void)
{
    CohNodeSet members = distkvm_members();
    uint64_t least = replica.last;
    CohNodeId n;

    if (replica.failed) {
        return UINT64_MAX;
    }
    COH_SET_FOREACH(n, &members) {
        if (n != distkvm->id) {
            least = MIN(least, replica.acked[n]);
        }
    }
    return least;
}

uint64_t replica_last(void)
{
    QEMU_LOCK_GUARD(&replica.lock);
    return replica.last;
}

void replica_then(uint64_t seq, void (*fn)(void *opaque), void *opaque)
{
    ReplicaThen then = { .seq = seq, .fn = fn, .opaque = opaque };
    bool now;

    WITH_QEMU_LOCK_GUARD(&replica.lock) {
        now = settled_locked() >= seq;
        if (!now) {
            g_array_append_val(replica.then, then);
        }
    }
    if (now) {
        fn(opaque);
    }
}

/* Run functions whose acknowledgements are now complete. */
static void run_settled(void)
{
    for (;;) {
        ReplicaThen then = { 0 };

        WITH_QEMU_LOCK_GUARD(&replica.lock) {
            uint64_t settled = settled_locked();

            qemu_cond_broadcast(&replica.cond);
            for (guint i = 0; i < replica.then->len; i++) {
                then = g_array_index(replica.then, ReplicaThen, i);
                if (then.seq <= settled) {
                    g_array_remove_index(replica.then, i);
                    break;
                }
                then.fn = NULL;
            }
        }
        if (!then.fn) {
            return;
        }
        then.fn(then.opaque);
    }
}

static const char *serve_mirrored(CohNodeId from,
                                  const MemberMessage *message)
{
    uint64_t seq = message->u.mirrored.seq;

    WITH_QEMU_LOCK_GUARD(&replica.lock) {
        if (!seq || seq > replica.last) {
            return "it acknowledged a change that was not made";
        }
        if (seq > replica.acked[from]) {
            if (!replica.acked[from]) {
                replica.begun_ns[from] = get_clock();
            }
            replica.acked[from] = seq;
            /* The next one's wait is counted from now. */
            replica.since_ns[from] = get_clock();
        }
    }
    run_settled();
    return NULL;
}

int64_t replica_waits_since_ns(CohNodeId *node)
{
    CohNodeSet members = distkvm_members();
    CohNodeId n;

    QEMU_LOCK_GUARD(&replica.lock);
    COH_SET_FOREACH(n, &members) {
        if (n != distkvm->id && !replica.failed &&
            replica.acked[n] < replica.last) {
            *node = n;
            return replica.since_ns[n];
        }
    }
    return 0;
}

bool replica_has_settled(CohNodeId node)
{
    QEMU_LOCK_GUARD(&replica.lock);
    return replica.begun_ns[node] &&
           get_clock() - replica.begun_ns[node] > SETTLED_NS;
}

/* No acknowledgement will come any more. */
static void replica_fail(void *unused)
{
    WITH_QEMU_LOCK_GUARD(&replica.lock) {
        replica.failed = true;
    }
    run_settled();
}

void replica_wait(void)
{
    /* Never wait for a peer with the BQL held. */
    bql_unlock();
    WITH_QEMU_LOCK_GUARD(&replica.lock) {
        uint64_t seq = replica.last;

        while (settled_locked() < seq) {
            qemu_cond_wait(&replica.cond, &replica.lock);
        }
    }
    bql_lock();
}

static void wait_on_cpu(CPUState *cpu, run_on_cpu_data data)
{
    replica_wait();
}

void replica_wait_on_cpu(CPUState *cpu)
{
    async_run_on_cpu(cpu, wait_on_cpu, RUN_ON_CPU_NULL);
}

/* -------------------------------------------------------------- changes */

static uint64_t *seq_of(const MemberMessage *change)
{
    return (uint64_t *)((char *)change + replica.kinds[change->type]->seq_at);
}

uint64_t replica_publish(MemberMessage *change)
{
    CohNodeSet members = distkvm_members();
    uint64_t seq;
    CohNodeId n;

    /* Numbers leave in order, also those of two threads. */
    QEMU_LOCK_GUARD(&replica.lock);
    COH_SET_FOREACH(n, &members) {
        if (replica.acked[n] >= replica.last) {
            replica.since_ns[n] = get_clock();
        }
    }
    seq = ++replica.last;
    *seq_of(change) = seq;
    member_broadcast(change);
    return seq;
}

static const char *serve_change(CohNodeId from, const MemberMessage *change)
{
    MemberMessage ack = {
        .type = MESSAGE_MIRRORED, .u.mirrored.seq = *seq_of(change),
    };
    const char *why;

    trace_distkvm_replica_apply(from, MemberMessageType_str(change->type));
    why = replica.kinds[change->type]->apply(from, change);
    if (!why) {
        member_send(from, &ack);
    }
    return why;
}

void replica_register(const ReplicaKind *kind)
{
    MemberService *service = g_new(MemberService, 1);

    *service = (MemberService) { kind->type, MEMBER_BQL, serve_change };
    replica.kinds[kind->type] = kind;
    member_register(service, 1);
}

static const MemberService services[] = {
    { MESSAGE_MIRRORED, MEMBER_THREAD, serve_mirrored },
};

void replica_init(void)
{
    qemu_mutex_init(&replica.lock);
    qemu_cond_init(&replica.cond);
    replica.then = g_array_new(false, false, sizeof(ReplicaThen));
    failure_register(FAILURE_RELEASE, replica_fail, NULL);
    member_register(services, ARRAY_SIZE(services));
}
