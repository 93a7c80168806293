/*
 * distkvm: a thread that waits for a page is woken where its engine runs
 *
 * The scheduler wakes a thread on a CPU that is idle, if there is one: never
 * on that of the engine, which is at work.  So a vCPU would leave its engine
 * with every page, and each of them would have to be woken on an idle CPU,
 * which takes longer than a message.  While it waits, a thread that faults
 * alone is therefore bound to the engine's CPU.  It is released when it no
 * longer waits and the engine sleeps, or VCPU_BOUND_NS after its last fault,
 * so that the host's balancing goes on.
 *
 * Not bound: threads already limited to one CPU, and threads whose run delay
 * exceeds half their run time.  If anybody changes the affinity meanwhile,
 * theirs wins, unless it is just this one CPU (docs/limits.rst).
 *
 * The lane's thread only.  Several lanes may want to bind one thread: each
 * leaves alone a thread that it finds bound, and releases only its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_VCPU_AFFINITY_H
#define DISTKVM_VCPU_AFFINITY_H

#include <sched.h>

/* A thread that has not faulted again is bound for this long at most. */
#define VCPU_BOUND_NS (1000 * 1000)
/* How often the run times of a thread are looked at. */
#define VCPU_LOOK_NS (20 * 1000 * 1000)
/* On a crowded CPU no thread is bound for this long... */
#define VCPU_BACKOFF_NS (200 * 1000 * 1000LL)
/* ...and twice as long each time it is crowded again afterwards, up to this. */
#define VCPU_BACKOFF_MAX_NS (16 * VCPU_BACKOFF_NS)

/* Of a thread, since it began. */
typedef struct VcpuTimes {
    int64_t ran_ns;
    int64_t delayed_ns;     /* was ready to run, and had no CPU             */
} VcpuTimes;

typedef struct VcpuAffinity {
    uint32_t tid;           /* the bound thread; 0: none                    */
    int cpu;
    int64_t since_ns;       /* its last fault                               */
    cpu_set_t had;          /* where it might run before                    */
    /*
     * A thread that had the usual CPUs is restored with the whole of all there
     * may be (affinity.c).  Both are empty if that is not known.
     */
    cpu_set_t usual, whole;
    uint32_t watched;       /* the thread whose times are read              */
    int fd;                 /* of its schedstat file; -1: none              */
    int64_t looked_ns;      /* when @times were read; 0: never              */
    VcpuTimes times;
    int64_t backoff_until_ns;
    int64_t backoff_ns;     /* how long, next time                          */
} VcpuAffinity;

void vcpu_affinity_init(VcpuAffinity *vcpu);
void vcpu_affinity_free(VcpuAffinity *vcpu);
/*
 * Thread @tid of this process, which waits now, shall be woken on @cpu.  False
 * if it is not to be bound, or may not be.
 */
bool vcpu_affinity_bind(VcpuAffinity *vcpu, uint32_t tid, int cpu,
                        int64_t now_ns);
/* The bound thread, if any, may run elsewhere again. */
void vcpu_affinity_release(VcpuAffinity *vcpu);
/*
 * Close @fd if it is not -1; it then reads file @name of thread @tid, or is
 * -1.
 */
void vcpu_affinity_open(int *fd, uint32_t tid, const char *name);
/* Pure: did a thread whose times went from @before to @now wait for a CPU? */
bool vcpu_affinity_is_crowded(const VcpuTimes *before, const VcpuTimes *now);

#endif
