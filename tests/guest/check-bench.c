/*
 * Work that benchmarks time: computing on every CPU, and pages read elsewhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include "guest-check.h"

#define PAGE 4096
/* Prime, so that every page is met once, and no neighbours in a row. */
#define STRIDE 7919

static void *count_below(void *opaque)
{
    long *job = opaque, found = 0;

    for (long n = 0; n < *job; n++) {
        found += is_prime(n);
    }
    *job = found;
    return NULL;
}

/* Every CPU does the same work, alone; all must come to the same result. */
int check_compute(long limit)
{
    int n = cpu_count(), wrong = 0;
    long job[n];

    for (int i = 0; i < n; i++) {
        job[i] = limit;
    }
    on_cpus(n, count_below, job, sizeof(job[0]));
    for (int i = 0; i < n; i++) {
        wrong += job[i] != job[0];
    }
    printf("compute: %d CPUs found %ld primes below %ld, %d differ\n", n,
           job[0], limit, wrong);
    return wrong;
}

/* The last CPU writes, then only reads are left to do, on the first. */
int check_read(long megabytes)
{
    long pages = megabytes * 256, wrong = 0;
    uint64_t *memory = aligned_alloc(PAGE, pages * PAGE);

    if (!memory) {
        printf("read: %ld MiB are not to be had\n", megabytes);
        return 1;
    }
    pin_to_cpu(cpu_count() - 1);
    for (long p = 0; p < pages; p++) {
        memory[p * PAGE / sizeof(*memory)] = p;
    }
    pin_to_cpu(0);
    for (long n = 0; n < pages; n++) {
        long p = n * STRIDE % pages;

        wrong += memory[p * PAGE / sizeof(*memory)] != p;
    }
    printf("read: %ld pages, %ld wrong\n", pages, wrong);
    free(memory);
    return wrong != 0;
}
