/*
 * Two tasks on two CPUs that wake each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest-check.h"

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Hand back @n bytes. */
static void echo(int from, int to, long n)
{
    char byte;

    pin_to_cpu(1);
    while (n-- && read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1) {
        continue;
    }
    _exit(n >= 0);
}

int check_wake(long n)
{
    uint64_t *ns = calloc(n, sizeof(*ns));
    int there[2], back[2], status = 1;
    pid_t child;
    char byte = 0;

    if (!ns || n < 1 || pipe(there) || pipe(back)) {
        return 2;
    }
    pin_to_cpu(0);
    child = fork();
    if (!child) {
        echo(there[0], back[1], n);
    }
    for (long i = 0; i < n; i++) {
        uint64_t start = now_ns();

        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
            return 1;
        }
        ns[i] = now_ns() - start;
    }
    waitpid(child, &status, 0);
    qsort(ns, n, sizeof(*ns), by_value);
    printf("wake: %ld round trips, median %lu ns\n", n,
           (unsigned long)ns[n / 2]);
    free(ns);
    return status;
}
