/*
 * How fast disks are read from their beginning on, past the page cache, by a
 * program on each CPU
 *
 * The program uses the bytes, outside of the time that is measured.
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

#define CHUNK (1 << 20)     /* bytes of a read                              */

/* @buf: on the CPU's node, as the CPU touched it first. */
static void measure(const char *path, int cpu, long chunks, uint64_t *buf)
{
    uint64_t took = 0, sum = 0;
    int disk = open(path, O_RDONLY | O_DIRECT);

    for (long i = 0; i < chunks; i++) {
        uint64_t start = now_ns();

        if (pread(disk, buf, CHUNK, i * (off_t)CHUNK) != CHUNK) {
            perror(path);
            exit(1);
        }
        took += now_ns() - start;
        for (int word = 0; word < CHUNK / (int)sizeof(*buf); word++) {
            sum += buf[word];
        }
    }
    printf("guest-sequential: %s cpu %d bytes %ld ns %lu sum %lx\n", path, cpu,
           chunks * CHUNK, (unsigned long)took, (unsigned long)sum);
    close(disk);
}

/* Each disk in turn on each CPU, @rounds times. */
int check_sequential(long rounds, long megabytes, int disks, char **paths)
{
    printf("guest-sequential: begins\n");
    for (long round = 0; round < rounds; round++) {
        for (int cpu = 0; cpu < cpu_count(); cpu++) {
            uint64_t *buf = aligned_alloc(CHUNK, CHUNK);

            pin_to_cpu(cpu);
            memset(buf, 1, CHUNK);
            for (int i = 0; i < disks; i++) {
                measure(paths[i], cpu, megabytes, buf);
            }
            free(buf);
        }
    }
    printf("guest-sequential: ends\n");
    return 0;
}
