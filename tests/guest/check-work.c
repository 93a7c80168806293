/*
 * Work on every CPU, and memory that all of them write and read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guest-check.h"

#define LIMIT 400000
/* Number of primes below LIMIT. */
#define PRIMES 33860
#define CHUNK 1000
#define BURST_NS 300000000ull
#define PAGE 4096

int is_prime(int n)
{
    for (int d = 2; d * d <= n; d++) {
        if (n % d == 0) {
            return 0;
        }
    }
    return n > 1;
}

/* One CPU after another computes for a while and says where it is. */
int check_each_cpu(const char *nodes)
{
    const char *at = nodes;

    for (int cpu = 0; cpu < cpu_count(); cpu++) {
        uint64_t end = now_ns() + BURST_NS;
        /* Volatile: the work is not to be optimised away. */
        volatile int found = 0;
        int n = 0;

        pin_to_cpu(cpu);
        while (now_ns() < end) {
            for (int i = 0; i < CHUNK; i++) {
                found += is_prime(n++);
            }
        }
        printf("CPU %d is on node %.*s: %d primes below %d\n", cpu,
               (int)strcspn(at, ","), *at ? at : "?", found, n);
        at += strcspn(at, ",");
        at += *at == ',';
    }
    return 0;
}

static atomic_int next_chunk, primes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long under_lock;

static void *count_primes(void *unused)
{
    int at;

    while ((at = atomic_fetch_add(&next_chunk, CHUNK)) < LIMIT) {
        int found = 0;

        for (int i = at; i < at + CHUNK && i < LIMIT; i++) {
            found += is_prime(i);
        }
        atomic_fetch_add(&primes, found);
        pthread_mutex_lock(&lock);
        under_lock += found;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

/* All CPUs share one job; the result is known. */
int check_sum(void)
{
    char args[cpu_count()];

    on_cpus(cpu_count(), count_primes, args, 1);
    printf("%d CPUs found %d primes below %d (%ld under a lock)\n",
           cpu_count(), primes, LIMIT, under_lock);
    return primes != PRIMES || under_lock != PRIMES;
}

struct fill {
    uint64_t *memory;
    long pages, first, step;
    int verify;
    long wrong;
};

static uint64_t word_of(long page)
{
    return (page + 1) * 0x9e3779b97f4a7c15ull;
}

static void *fill_or_verify(void *opaque)
{
    struct fill *f = opaque;
    long words = PAGE / sizeof(uint64_t);

    for (long p = f->first; p < f->pages; p += f->step) {
        for (long i = 0; i < words; i += 64) {
            if (!f->verify) {
                f->memory[p * words + i] = word_of(p) + i;
            } else if (f->memory[p * words + i] != word_of(p) + i) {
                f->wrong++;
            }
        }
    }
    return NULL;
}

/* Each CPU fills every n-th page; then another CPU verifies it. */
int check_memory(long megabytes)
{
    int n = cpu_count();
    struct fill fill[n];
    long pages = megabytes * 256, wrong = 0;
    uint64_t *memory = aligned_alloc(PAGE, pages * PAGE);

    if (!memory) {
        printf("memory: %ld MiB are not to be had\n", megabytes);
        return 1;
    }
    for (int verify = 0; verify < 2; verify++) {
        for (int i = 0; i < n; i++) {
            fill[i] = (struct fill) {
                .memory = memory, .pages = pages, .step = n,
                .first = (i + verify) % n, .verify = verify,
            };
        }
        on_cpus(n, fill_or_verify, fill, sizeof(fill[0]));
    }
    for (int i = 0; i < n; i++) {
        wrong += fill[i].wrong;
    }
    printf("memory: %ld MiB written and verified, %ld words wrong\n",
           megabytes, wrong);
    free(memory);
    return wrong != 0;
}
