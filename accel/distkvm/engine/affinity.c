/*
 * distkvm: where the engine's thread runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "affinity.h"

/* In /proc/self/task/TID/stat, counted behind the name's ")". */
#define STAT_PROCESSOR 37

static bool may_run_on(const cpu_set_t *set)
{
    return !sched_setaffinity(0, sizeof(*set), set);
}

/*
 * Who is given the CPUs of its cpuset by name does not get those that the
 * cpuset gains later; so all there may be are given back to who had all it has.
 */
static void find_allowed(Follow *f)
{
    cpu_set_t all, now;

    memset(&all, 0xff, sizeof(all));
    if (may_run_on(&all) && !sched_getaffinity(0, sizeof(now), &now) &&
        CPU_EQUAL(&now, &f->allowed)) {
        f->keep.usual = f->allowed;
        f->keep.whole = all;
        f->allowed = all;
    } else {
        f->on = may_run_on(&f->allowed);
        f->denied = !f->on;
    }
}

void follow_init(Follow *f, bool on)
{
    memset(f, 0, sizeof(*f));
    f->cpu = f->last = -1;
    f->needed = FOLLOW_FAULTS;
    keep_init(&f->keep);
    for (int i = 0; i < FOLLOW_THREADS; i++) {
        f->thread[i].fd = -1;
    }
    /* Where there is one CPU only, a peer may need it to answer. */
    f->on = on && !sched_getaffinity(0, sizeof(f->allowed), &f->allowed) &&
            CPU_COUNT(&f->allowed) > 1;
    if (f->on) {
        find_allowed(f);
    }
}

void follow_free(Follow *f)
{
    keep_free(&f->keep);
    for (int i = 0; i < FOLLOW_THREADS; i++) {
        if (f->thread[i].fd >= 0) {
            close(f->thread[i].fd);
        }
    }
}

int follow_decide(Follow *f, int cpu)
{
    f->row = cpu == f->last ? f->row + 1 : 1;
    f->last = cpu;
    if (f->cpu >= 0 && cpu != f->cpu) {
        /* Several CPUs fault: there is no one place to be. */
        f->needed = MIN(f->needed * 2, FOLLOW_FAULTS_MAX);
        return -1;
    }
    return f->row >= f->needed ? cpu : f->cpu;
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

static int cpu_of(Follow *f, uint32_t tid, int64_t now_ns)
{
    FollowThread *t = &f->thread[tid % FOLLOW_THREADS];

    if (t->tid != tid) {
        keep_open(&t->fd, tid, "stat");
        t->tid = tid;
        t->looked_ns = 0;
    }
    if (!t->looked_ns || now_ns - t->looked_ns > FOLLOW_LOOK_NS) {
        t->looked_ns = now_ns;
        t->cpu = t->fd < 0 ? -1 : read_cpu(t->fd);
        if (t->cpu < 0) {
            /* It has ended, perhaps; a new one may have its number. */
            t->tid = 0;
        }
    }
    return t->cpu;
}

static void move_to(Follow *f, int where)
{
    cpu_set_t one;

    if (where == f->cpu) {
        return;
    }
    CPU_ZERO(&one);
    if (where >= 0) {
        CPU_SET(where, &one);
    }
    f->cpu = where;
    if (!may_run_on(where >= 0 ? &one : &f->allowed)) {
        may_run_on(&f->allowed);
        f->on = false;
        f->cpu = -1;
        keep_end(&f->keep);
    }
}

void follow_fault(Follow *f, uint32_t tid, bool may_keep, int64_t now_ns)
{
    int cpu;

    if (!f->on) {
        return;
    }
    f->alone = tid == f->tid ? f->alone + 1 : 1;
    f->tid = tid;
    cpu = cpu_of(f, tid, now_ns);
    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &f->allowed)) {
        keep_end(&f->keep);
    } else if (may_keep && f->alone >= FOLLOW_FAULTS &&
               keep_near(&f->keep, tid, cpu, now_ns)) {
        f->last = cpu;
        move_to(f, cpu);
    } else {
        keep_end(&f->keep);
        move_to(f, follow_decide(f, cpu));
    }
}

void follow_rest(Follow *f)
{
    keep_end(&f->keep);
}

void follow_pass(Follow *f, int64_t now_ns)
{
    if (now_ns - f->keep.since_ns > KEEP_NS) {
        keep_end(&f->keep);
    }
}
