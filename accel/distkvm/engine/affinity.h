/*
 * distkvm: where the engine's thread runs
 *
 * A vCPU that waits for a page leaves its CPU idle; waking a thread there costs
 * a tenth of waking one elsewhere.  So the engine follows the CPU on which this
 * node's threads fault, as long as that is one CPU, and may spin there for the
 * answer.  If several CPUs fault, it runs where the host's scheduler likes.
 * A thread that faults alone is kept there too: vcpu-affinity.h.
 * Affinity is a hint: where it may not be set (libvirt's seccomp filter), all
 * works, only slower.  Engine thread only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FOLLOW_H
#define DISTKVM_FOLLOW_H

#include "vcpu-affinity.h"

/* So many faults in a row from one CPU, and the engine moves there. */
#define FOLLOW_FAULTS 8
/* It was wrong: from now on it takes so many. */
#define FOLLOW_FAULTS_MAX 256
/* A thread is looked for again after this. */
#define FOLLOW_LOOK_NS (5 * 1000 * 1000)
#define FOLLOW_THREADS 16

typedef struct FollowThread {
    uint32_t tid;
    int fd;                 /* of its stat file; -1: none                   */
    int cpu;
    int64_t looked_ns;
} FollowThread;

typedef struct Follow {
    bool on;
    bool denied;            /* this host lets no thread choose its CPU      */
    int cpu;                /* where the engine is kept; -1: nowhere        */
    int last;               /* CPU of the last fault                        */
    unsigned row, needed;
    uint32_t tid;           /* who faulted last, and how often in a row     */
    unsigned alone;
    cpu_set_t allowed;      /* what it was given at first, or all there are */
    FollowThread thread[FOLLOW_THREADS];
    Keep keep;
} Follow;

/* @on: false never follows.  Engine thread. */
void follow_init(Follow *f, bool on);
void follow_free(Follow *f);
/*
 * Thread @tid of this process faulted and will wait; @may_keep: it may be bound
 * to a CPU.
 */
void follow_fault(Follow *f, uint32_t tid, bool may_keep, int64_t now_ns);
/* The engine has nothing to do for whoever is kept. */
void follow_rest(Follow *f);
/* In each pass while one is kept: an engine with much to do frees it too. */
void follow_pass(Follow *f, int64_t now_ns);
/* Pure: a fault on @cpu; where the engine should be kept now, or -1. */
int follow_decide(Follow *f, int cpu);

#endif
