/*
 * Sleeping and waking across CPUs, and time across hand-overs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>
#include <stdio.h>
#include <x86intrin.h>
#include "guest-check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long rounds, turn, backwards;
static uint64_t last_ns, last_tsc;
static int threads;

/* The thread that has the turn looks at the clocks of the one before. */
static void *relay(void *arg)
{
    int me = *(int *)arg;

    pthread_mutex_lock(&lock);
    while (turn < rounds) {
        if (turn % threads == me) {
            uint64_t ns = now_ns(), tsc = __rdtsc();

            backwards += ns < last_ns || tsc < last_tsc;
            last_ns = ns;
            last_tsc = tsc;
            turn++;
            pthread_cond_broadcast(&cond);
        } else {
            pthread_cond_wait(&cond, &lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

int check_sleep(long iterations)
{
    int number[64];

    threads = cpu_count() < 64 ? cpu_count() : 64;
    rounds = iterations;
    for (int i = 0; i < threads; i++) {
        number[i] = i;
    }
    on_cpus(threads, relay, number, sizeof(number[0]));
    printf("sleep: %ld hand-overs between %d CPUs, time went backwards %ld"
           " times\n", turn, threads, backwards);
    return backwards != 0 || turn < rounds;
}
