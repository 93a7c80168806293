/*
 * distkvm: a thread that waits for a page is woken where its engine runs
 *
 * The scheduler wakes a thread on a CPU that is idle, if there is one: never on
 * that of the engine, which is at work.  So a vCPU would leave its engine with
 * every page, and each of them would have to be woken on an idle CPU, which
 * takes longer than a message.  While it waits, a thread that faults alone may
 * therefore run on the engine's CPU only; when it no longer waits and the engine
 * sleeps, or KEEP_NS after its last fault, it may run again where it could
 * before, so that the host's balancing goes on.
 *
 * A thread that may use one CPU only is left alone: somebody has said so.  So is
 * one that finds this CPU crowded: it was ready, and waited for half as long as
 * it ran or longer.  What others say meanwhile goes, except if that is just this
 * CPU alone (docs/limits.rst).
 *
 * Engine thread only.  Engines of several lanes may want to keep one thread:
 * each leaves alone what it finds bound, and frees only what it has bound.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_KEEP_H
#define DISTKVM_KEEP_H

#include <sched.h>

/* A thread that has not faulted again is kept for so long at most. */
#define KEEP_NS (1000 * 1000)
/* What a thread did is looked at so often. */
#define KEEP_LOOK_NS (20 * 1000 * 1000)
/* Crowded: then it is for the scheduler to say where it runs, for so long... */
#define KEEP_REST_NS (200 * 1000 * 1000LL)
/* ...and if it is crowded again afterwards twice as long, up to this. */
#define KEEP_REST_MAX_NS (16 * KEEP_REST_NS)

/* Of a thread, in all. */
typedef struct KeepTimes {
    int64_t ran_ns;
    int64_t delayed_ns;     /* could have run, had it had a CPU             */
} KeepTimes;

typedef struct Keep {
    uint32_t tid;           /* who is kept; 0: nobody                       */
    int cpu;
    int64_t since_ns;       /* its last fault                               */
    cpu_set_t had;          /* where it might run before                    */
    /* Who had the usual is given the whole; both are empty if unknown.     */
    cpu_set_t usual, whole;
    uint32_t watched;       /* whose time is watched                        */
    int fd;                 /* of its schedstat file; -1: none              */
    int64_t looked_ns;      /* when, and what it had done; 0: never         */
    KeepTimes times;
    int64_t rest_until_ns;  /* nobody is kept                               */
    int64_t rest_ns;        /* how long, next time                          */
} Keep;

void keep_init(Keep *keep);
void keep_free(Keep *keep);
/*
 * Thread @tid of this process, which waits now, shall be woken on @cpu.  False
 * if it is not to be kept, or may not be.
 */
bool keep_near(Keep *keep, uint32_t tid, int cpu, int64_t now_ns);
/* Whoever is kept may run elsewhere again. */
void keep_end(Keep *keep);
/* @fd is what the kernel says of thread @tid under @name from now on, or -1. */
void keep_open(int *fd, uint32_t tid, const char *name);
/* Pure: does a thread that did @now - @before wait much for its CPU? */
bool keep_crowded(const KeepTimes *before, const KeepTimes *now);

#endif
