/*
 * distkvm: state that every node keeps a copy of
 *
 * The memory map and the identities of local APICs.  A change is told under
 * the BQL, where waiting is wrong; who caused it waits outside: a vCPU before
 * it executes on, a forwarded access before it is answered.  An
 * acknowledgement means "applied", never "vCPUs ran".
 * Spec: docs/architecture.rst, "Mirrored state".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/trace.h"

/* An access that left under the map before is here by then. */
#define SETTLED_NS NANOSECONDS_PER_SECOND

typedef struct MirrorThen {
    uint64_t seq;
    void (*fn)(void *opaque);
    void *opaque;
} MirrorThen;

static struct {
    QemuMutex lock;
    QemuCond cond;
    uint64_t last;                      /* told; under lock */
    uint64_t acked[COH_NODES_MAX];      /* under lock */
    int64_t begun_ns[COH_NODES_MAX];    /* under lock: it acked the first */
    int64_t since_ns[COH_NODES_MAX];    /* under lock: it has not acked more */
    GArray *then;                       /* MirrorThen; under lock */
    bool failed;                        /* under lock */
} mirror;

static void __attribute__((constructor)) mirror_construct(void)
{
    qemu_mutex_init(&mirror.lock);
    qemu_cond_init(&mirror.cond);
    mirror.then = g_array_new(false, false, sizeof(MirrorThen));
}

static uint64_t settled_locked(void)
{
    CohNodeSet members = distkvm_members();
    uint64_t least = mirror.last;
    CohNodeId n;

    if (mirror.failed) {
        return UINT64_MAX;
    }
    COH_SET_FOREACH(n, &members) {
        if (n != distkvm->id) {
            least = MIN(least, mirror.acked[n]);
        }
    }
    return least;
}

uint64_t mirror_broadcast(QDict *message)
{
    CohNodeSet members = distkvm_members();
    uint64_t seq;
    CohNodeId n;

    /* Numbers leave in order, whoever tells. */
    QEMU_LOCK_GUARD(&mirror.lock);
    COH_SET_FOREACH(n, &members) {
        if (mirror.acked[n] >= mirror.last) {
            mirror.since_ns[n] = get_clock();
        }
    }
    seq = ++mirror.last;
    qdict_put_int(message, "seq", seq);
    member_broadcast(message);
    return seq;
}

uint64_t mirror_last(void)
{
    QEMU_LOCK_GUARD(&mirror.lock);
    return mirror.last;
}

void mirror_then(uint64_t seq, void (*fn)(void *opaque), void *opaque)
{
    MirrorThen then = { .seq = seq, .fn = fn, .opaque = opaque };
    bool now;

    WITH_QEMU_LOCK_GUARD(&mirror.lock) {
        now = settled_locked() >= seq;
        if (!now) {
            g_array_append_val(mirror.then, then);
        }
    }
    if (now) {
        fn(opaque);
    }
}

/* Run what waited for acknowledgements that are now complete. */
static void run_settled(void)
{
    for (;;) {
        MirrorThen then = { 0 };

        WITH_QEMU_LOCK_GUARD(&mirror.lock) {
            uint64_t settled = settled_locked();

            qemu_cond_broadcast(&mirror.cond);
            for (guint i = 0; i < mirror.then->len; i++) {
                if (g_array_index(mirror.then, MirrorThen, i).seq <= settled) {
                    then = g_array_index(mirror.then, MirrorThen, i);
                    g_array_remove_index(mirror.then, i);
                    break;
                }
            }
        }
        if (!then.fn) {
            return;
        }
        then.fn(then.opaque);
    }
}

void mirror_acked(CohNodeId from, uint64_t seq)
{
    WITH_QEMU_LOCK_GUARD(&mirror.lock) {
        if (MIN(seq, mirror.last) > mirror.acked[from]) {
            if (!mirror.acked[from]) {
                mirror.begun_ns[from] = get_clock();
            }
            mirror.acked[from] = MIN(seq, mirror.last);
            /* The next one's wait is counted from now. */
            mirror.since_ns[from] = get_clock();
        }
    }
    run_settled();
}

int64_t mirror_waits_since_ns(CohNodeId *node)
{
    CohNodeSet members = distkvm_members();
    CohNodeId n;

    QEMU_LOCK_GUARD(&mirror.lock);
    COH_SET_FOREACH(n, &members) {
        if (n != distkvm->id && !mirror.failed &&
            mirror.acked[n] < mirror.last) {
            *node = n;
            return mirror.since_ns[n];
        }
    }
    return 0;
}

bool mirror_has_settled(CohNodeId node)
{
    QEMU_LOCK_GUARD(&mirror.lock);
    return mirror.begun_ns[node] &&
           get_clock() - mirror.begun_ns[node] > SETTLED_NS;
}

void mirror_fail(void)
{
    WITH_QEMU_LOCK_GUARD(&mirror.lock) {
        mirror.failed = true;
    }
    run_settled();
}

static void wait_on_cpu(CPUState *cpu, run_on_cpu_data data)
{
    /* Never wait for a peer with the BQL held. */
    bql_unlock();
    WITH_QEMU_LOCK_GUARD(&mirror.lock) {
        uint64_t seq = mirror.last;

        while (settled_locked() < seq) {
            qemu_cond_wait(&mirror.cond, &mirror.lock);
        }
    }
    bql_lock();
}

void mirror_wait_on_cpu(CPUState *cpu)
{
    async_run_on_cpu(cpu, wait_on_cpu, RUN_ON_CPU_NULL);
}

void mirror_apply(CohNodeId from, const QDict *message)
{
    const char *type = qdict_get_str(message, "type");
    QDict *ack = member_message("mirrored");

    trace_distkvm_mirror_apply(from, type);
    if (!strcmp(type, "map")) {
        map_apply(message);
    } else {
        apic_mirror_apply(from, message);
    }
    qdict_put_int(ack, "seq", qdict_get_try_int(message, "seq", 0));
    member_send(from, ack);
}
