/*
 * How long a disk takes, past the page cache, for a program on each CPU
 *
 * The program uses the bytes: it sums all that it reads, and dirties each page
 * before the next transfer, so the pages are with its CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest-check.h"

#define MIB (1 << 20)
#define PAGE 4096
#define LARGE 8             /* transfers of 1 MiB                           */
#define SMALL 100           /* and of 4 KiB, at random                      */

static int disk;
static uint64_t *buf;
static uint64_t sum, chance = 1;

static void stop_unless(int right, const char *what)
{
    if (!right) {
        perror(what);
        exit(1);
    }
}

static void use(size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(*buf); i++) {
        sum += buf[i];
    }
    for (size_t at = 0; at < bytes; at += PAGE) {
        buf[at / sizeof(*buf)]++;
    }
}

static void read_one(size_t bytes, off_t at)
{
    stop_unless(pread(disk, buf, bytes, at) == (ssize_t)bytes, "read");
    use(bytes);
}

/* ns for each transfer, depth 1. */
static uint64_t read_large(void)
{
    uint64_t start = now_ns();

    for (int i = 0; i < LARGE; i++) {
        read_one(MIB, (off_t)i * MIB);
    }
    return (now_ns() - start) / LARGE;
}

static uint64_t write_large(void)
{
    uint64_t start = now_ns();

    for (int i = 0; i < LARGE; i++) {
        use(MIB);
        stop_unless(pwrite(disk, buf, MIB, (off_t)(LARGE + i) * MIB) == MIB,
                    "write");
    }
    return (now_ns() - start) / LARGE;
}

static uint64_t read_small(void)
{
    uint64_t start = now_ns();

    for (int i = 0; i < SMALL; i++) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        read_one(PAGE, (off_t)((chance >> 33) % (LARGE * MIB / PAGE)) * PAGE);
    }
    return (now_ns() - start) / SMALL;
}

/* A buffer of its own, whose pages are first touched on @cpu. */
static void measure(int round, int cpu)
{
    uint64_t large, written, small, large_sum;

    pin_to_cpu(cpu);
    buf = aligned_alloc(MIB, MIB);
    stop_unless(buf != NULL, "memory");
    memset(buf, 1, MIB);
    sum = 0;
    large = read_large();
    large_sum = sum;
    written = write_large();
    small = read_small();
    free(buf);
    printf("guest-dma-bench: round %d cpu %d read %lu write %lu random %lu"
           " sum %lx\n", round, cpu, (unsigned long)large,
           (unsigned long)written, (unsigned long)small,
           (unsigned long)large_sum);
}

int check_dma_bench(const char *path, long rounds)
{
    uint64_t start;

    disk = open(path, O_RDWR | O_DIRECT);
    stop_unless(disk >= 0, path);
    /* Not measured: what is slow once. */
    measure(0, cpu_count() - 1);
    measure(0, 0);
    printf("guest-dma-bench: begins\n");
    start = now_ns();
    for (long round = 1; round <= rounds; round++) {
        measure(round, cpu_count() - 1);
        measure(round, 0);
    }
    printf("guest-dma-bench: took %lu ns\n", (unsigned long)(now_ns() - start));
    return 0;
}
