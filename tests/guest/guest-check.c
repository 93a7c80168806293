/*
 * Checks of test guests: dispatch, and the helpers of all subjects
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "guest-check.h"

/* CPUs that may be used, which may have gaps in their numbers; from main(). */
static cpu_set_t usable;

int cpu_count(void)
{
    return sysconf(_SC_NPROCESSORS_ONLN);
}

/* To the @nth of the CPUs that there are. */
void pin_to_cpu(int nth)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && nth-- == 0) {
            CPU_SET(cpu, &set);
        }
    }
    if (sched_setaffinity(0, sizeof(set), &set)) {
        perror("sched_setaffinity");
        exit(2);
    }
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

struct start {
    int cpu;
    void *(*fn)(void *);
    void *arg;
};

static void *start_thread(void *opaque)
{
    struct start *start = opaque;

    pin_to_cpu(start->cpu);
    return start->fn(start->arg);
}

void on_cpus(int n, void *(*fn)(void *), void *args, unsigned arg_size)
{
    struct start start[n];
    pthread_t thread[n];

    for (int i = 0; i < n; i++) {
        start[i].cpu = i % cpu_count();
        start[i].fn = fn;
        start[i].arg = (char *)args + i * arg_size;
        pthread_create(&thread[i], NULL, start_thread, &start[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
    }
}

int main(int argc, char **argv)
{
    const char *subject = argc > 1 ? argv[1] : "";
    const char *arg = argc > 2 ? argv[2] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    sched_getaffinity(0, sizeof(usable), &usable);
    if (!strcmp(subject, "each-cpu")) {
        return check_each_cpu(arg);
    } else if (!strcmp(subject, "sum")) {
        return check_sum();
    } else if (!strcmp(subject, "litmus")) {
        return check_litmus(atol(arg));
    } else if (!strcmp(subject, "code")) {
        return check_code(atol(arg));
    } else if (!strcmp(subject, "sleep")) {
        return check_sleep(atol(arg));
    } else if (!strcmp(subject, "leak")) {
        return check_leak();
    } else if (!strcmp(subject, "memory")) {
        return check_memory(atol(arg));
    } else if (!strcmp(subject, "compute")) {
        return check_compute(atol(arg));
    } else if (!strcmp(subject, "read")) {
        return check_read(atol(arg));
    } else if (!strcmp(subject, "dma")) {
        return check_dma(arg, argc > 3 ? atol(argv[3]) : 0);
    } else if (!strcmp(subject, "dma-bench")) {
        return check_dma_bench(arg, argc > 3 ? atol(argv[3]) : 0);
    } else if (!strcmp(subject, "wake")) {
        return check_wake(atol(arg));
    } else if (!strcmp(subject, "disks")) {
        return check_disks(argc - 2, argv + 2);
    } else if (!strcmp(subject, "sequential") && argc > 3) {
        return check_sequential(atol(arg), atol(argv[3]), argc - 4, argv + 4);
    }
    fprintf(stderr, "guest-check each-cpu NODES | sum | litmus N | code N |"
            " sleep N | memory MIB | leak | compute N | read MIB |"
            " dma DISK MIB | dma-bench DISK ROUNDS | wake N |"
            " disks DISK... | sequential ROUNDS MIB DISK...\n");
    return 2;
}
