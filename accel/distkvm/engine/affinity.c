/*
 * distkvm: the part of a lane that chooses the CPU of its thread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "affinity.h"

/* In /proc/self/task/TID/stat, counted behind the name's ")". */
#define STAT_PROCESSOR 37

static void affinity_init(void *part, LaneCtx *ctx)
{
    affinity_start(part, false);
}

static void affinity_free(void *part)
{
    Affinity *a = part;

    vcpu_affinity_free(&a->vcpu);
    for (int i = 0; i < AFFINITY_THREADS; i++) {
        if (a->thread[i].fd >= 0) {
            close(a->thread[i].fd);
            a->thread[i].fd = -1;
        }
    }
}

static bool may_run_on(const cpu_set_t *set)
{
    return !sched_setaffinity(0, sizeof(*set), set);
}

/*
 * An explicit mask hides CPUs that the cpuset gains later.  A thread that had
 * the whole cpuset is therefore restored with an all-ones mask.
 */
static void find_allowed(Affinity *a)
{
    cpu_set_t all, now;

    memset(&all, 0xff, sizeof(all));
    if (may_run_on(&all) && !sched_getaffinity(0, sizeof(now), &now) &&
        CPU_EQUAL(&now, &a->allowed)) {
        a->vcpu.usual = a->allowed;
        a->vcpu.whole = all;
        a->allowed = all;
    } else {
        a->on = may_run_on(&a->allowed);
        a->denied = !a->on;
    }
}

void affinity_start(Affinity *a, bool on)
{
    memset(a, 0, sizeof(*a));
    a->cpu = a->last_cpu = -1;
    a->n_needed = AFFINITY_FAULTS;
    vcpu_affinity_init(&a->vcpu);
    for (int i = 0; i < AFFINITY_THREADS; i++) {
        a->thread[i].fd = -1;
    }
    /* On a host with one CPU a peer may need it to answer. */
    a->on = on && !sched_getaffinity(0, sizeof(a->allowed), &a->allowed) &&
            CPU_COUNT(&a->allowed) > 1;
    if (a->on) {
        find_allowed(a);
    }
}

int affinity_decide(Affinity *a, int cpu)
{
    a->n_same_cpu = cpu == a->last_cpu ? a->n_same_cpu + 1 : 1;
    a->last_cpu = cpu;
    if (a->cpu >= 0 && cpu != a->cpu) {
        /* Several CPUs fault: there is no one place to be. */
        a->n_needed = MIN(a->n_needed * 2, AFFINITY_FAULTS_MAX);
        return -1;
    }
    return a->n_same_cpu >= a->n_needed ? cpu : a->cpu;
}

/* The CPU that a stat file names, or -1. */
static int read_cpu(int fd)
{
    char text[512], *at;
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

    if (len <= 0) {
        return -1;
    }
    text[len] = '\0';
    at = strrchr(text, ')');
    for (int i = 0; at && i < STAT_PROCESSOR; i++) {
        at = strchr(at + 1, ' ');
    }
    return at ? atoi(at) : -1;
}

static int cpu_of(Affinity *a, uint32_t tid, int64_t now_ns)
{
    AffinityThread *t = &a->thread[tid % AFFINITY_THREADS];

    if (t->tid != tid) {
        vcpu_affinity_open(&t->fd, tid, "stat");
        t->tid = tid;
        t->looked_ns = 0;
    }
    if (!t->looked_ns || now_ns - t->looked_ns > AFFINITY_LOOK_NS) {
        t->looked_ns = now_ns;
        t->cpu = t->fd < 0 ? -1 : read_cpu(t->fd);
        if (t->cpu < 0) {
            /* It has ended, perhaps; a new one may have its number. */
            t->tid = 0;
        }
    }
    return t->cpu;
}

static void move_to(Affinity *a, int cpu)
{
    cpu_set_t one;

    if (cpu == a->cpu) {
        return;
    }
    CPU_ZERO(&one);
    if (cpu >= 0) {
        CPU_SET(cpu, &one);
    }
    a->cpu = cpu;
    if (!may_run_on(cpu >= 0 ? &one : &a->allowed)) {
        may_run_on(&a->allowed);
        a->on = false;
        a->cpu = -1;
        vcpu_affinity_release(&a->vcpu);
    }
}

void affinity_fault(Affinity *a, uint32_t tid, bool may_bind, int64_t now_ns)
{
    int cpu;

    if (!a->on) {
        return;
    }
    a->n_same_tid = tid == a->last_tid ? a->n_same_tid + 1 : 1;
    a->last_tid = tid;
    cpu = cpu_of(a, tid, now_ns);
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &a->allowed)) {
        vcpu_affinity_release(&a->vcpu);
    } else if (may_bind && a->n_same_tid >= AFFINITY_FAULTS &&
               vcpu_affinity_bind(&a->vcpu, tid, cpu, now_ns)) {
        a->last_cpu = cpu;
        move_to(a, cpu);
    } else {
        vcpu_affinity_release(&a->vcpu);
        move_to(a, affinity_decide(a, cpu));
    }
}

uint32_t affinity_bound_thread(const Affinity *a)
{
    return a->vcpu.tid;
}

void affinity_idle(Affinity *a)
{
    vcpu_affinity_release(&a->vcpu);
}

void affinity_pass(Affinity *a, int64_t now_ns)
{
    if (now_ns - a->vcpu.since_ns > VCPU_BOUND_NS) {
        vcpu_affinity_release(&a->vcpu);
    }
}

static bool affinity_run(void *part)
{
    Affinity *a = part;

    if (a->vcpu.tid) {
        affinity_pass(a, get_clock());
    }
    return false;
}

static void affinity_fail(void *part)
{
    affinity_idle(part);
}

const LanePart affinity_part = {
    .init = affinity_init,
    .free = affinity_free,
    .run = affinity_run,
    .fail = affinity_fail,
};
