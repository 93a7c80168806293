/*
 * distkvm: the part of a lane that chooses the CPU of its thread
 *
 * A vCPU that waits for a page leaves its CPU idle; waking a thread there
 * costs a tenth of waking one elsewhere.  So the lane's thread goes to the CPU
 * on which this node's threads fault, as long as that is one CPU, and may spin
 * there for the answer.  If several CPUs fault, it runs where the host's
 * scheduler likes.  A thread that faults alone is bound to that CPU, too:
 * vcpu-affinity.h.  Affinity is a hint: where it may not be set (libvirt's
 * seccomp filter), all works, only slower.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_AFFINITY_H
#define DISTKVM_AFFINITY_H

#include "lane-part.h"
#include "vcpu-affinity.h"

/* After this many faults in a row from one CPU the lane's thread goes there. */
#define AFFINITY_FAULTS 8
/* Each time that was wrong it takes twice as many, up to this. */
#define AFFINITY_FAULTS_MAX 256
/* The CPU of a thread is read anew after this. */
#define AFFINITY_LOOK_NS (5 * 1000 * 1000)
#define AFFINITY_THREADS 16

typedef struct AffinityThread {
    uint32_t tid;
    int fd;                 /* of its stat file; -1: none                   */
    int cpu;
    int64_t looked_ns;
} AffinityThread;

typedef struct Affinity {
    bool on;
    bool denied;            /* this host lets no thread choose its CPU      */
    int cpu;                /* of the lane's thread; -1: any                */
    int last_cpu;           /* of the last fault                            */
    unsigned n_same_cpu;    /* faults in a row from there                   */
    unsigned n_needed;      /* that many bring the lane's thread there      */
    uint32_t last_tid;      /* of the last fault                            */
    unsigned n_same_tid;    /* faults in a row of that thread               */
    cpu_set_t allowed;      /* to the lane's thread at first, or all CPUs   */
    AffinityThread thread[AFFINITY_THREADS];    /* by tid */
    VcpuAffinity vcpu;
} Affinity;

/* In the lane's thread, once; before that, or if not @on, nothing is done. */
void affinity_start(Affinity *affinity, bool on);
/*
 * Thread @tid of this process faulted and will wait; @may_bind: it may be
 * bound to a CPU.
 */
void affinity_fault(Affinity *affinity, uint32_t tid, bool may_bind,
                    int64_t now_ns);
/* The thread that is bound to this CPU; 0: none. */
uint32_t affinity_bound_thread(const Affinity *affinity);
/* The lane has nothing to do for that thread: release it. */
void affinity_idle(Affinity *affinity);
/* The same if it has been bound for too long: a lane may never be idle. */
void affinity_pass(Affinity *affinity, int64_t now_ns);
/* Pure: a fault on @cpu; where the lane's thread should be now, or -1. */
int affinity_decide(Affinity *affinity, int cpu);

extern const LanePart affinity_part;

#endif
