/*
 * Disks, all at once, past the page cache: each CPU writes a part of each disk,
 * and every CPU reads all parts
 *
 * A word's value follows from its place and the size of the disk, so blocks of
 * another disk, or of another place, are found.  The reader of the image knows
 * what to expect, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest-check.h"

#define PART (128 << 10)    /* bytes that a CPU writes                      */
#define BLOCK (16 << 10)    /* bytes of a write, and of a read              */
#define BLOCKS (PART / BLOCK)
#define STEP 13             /* blocks are written in another order          */
#define ALIGN 4096
#define FACTOR 0x9e3779b97f4a7c15ull

struct user {
    int cpu;
    const char *path;
    int disk;
    uint64_t size;
    uint64_t *buf;
    int right;              /* blocks                                       */
};

static int cpus;
static pthread_barrier_t all_written;

static void stop_unless(int right, const char *what)
{
    if (!right) {
        perror(what);
        exit(1);
    }
}

static uint64_t word(const struct user *user, off_t at)
{
    return (at / sizeof(uint64_t) + 1) * FACTOR + user->size;
}

static void write_block(struct user *user, off_t at)
{
    for (int i = 0; i < BLOCK; i += sizeof(uint64_t)) {
        user->buf[i / sizeof(uint64_t)] = word(user, at + i);
    }
    stop_unless(pwrite(user->disk, user->buf, BLOCK, at) == BLOCK, "write");
}

static void read_block(struct user *user, off_t at)
{
    memset(user->buf, 0, BLOCK);
    stop_unless(pread(user->disk, user->buf, BLOCK, at) == BLOCK, "read");
    for (int i = 0; i < BLOCK; i += sizeof(uint64_t)) {
        uint64_t found = user->buf[i / sizeof(uint64_t)];

        if (found != word(user, at + i)) {
            printf("guest-disks: WRONG, %s on CPU %d at %lu: %lx\n",
                   user->path, user->cpu, (unsigned long)at + i,
                   (unsigned long)found);
            return;
        }
    }
    user->right++;
}

static void *use(void *opaque)
{
    struct user *user = opaque;

    user->disk = open(user->path, O_RDWR | O_DIRECT);
    stop_unless(user->disk >= 0, user->path);
    user->size = lseek(user->disk, 0, SEEK_END);
    stop_unless(user->size >= (uint64_t)cpus * PART, "size");
    user->buf = aligned_alloc(ALIGN, BLOCK);
    stop_unless(user->buf != NULL, "memory");
    for (int i = 0; i < BLOCKS; i++) {
        write_block(user, (off_t)user->cpu * PART +
                    (i * STEP % BLOCKS) * BLOCK);
    }
    stop_unless(!fsync(user->disk), "fsync");
    pthread_barrier_wait(&all_written);
    /* That of the next CPU first, its own last. */
    for (int i = 1; i <= cpus; i++) {
        for (int block = 0; block < BLOCKS; block++) {
            read_block(user, (off_t)((user->cpu + i) % cpus) * PART +
                       (block * STEP % BLOCKS) * BLOCK);
        }
    }
    close(user->disk);
    free(user->buf);
    return NULL;
}

int check_disks(int disks, char **paths)
{
    struct user *users;
    int wrong = 0;

    cpus = cpu_count();
    users = calloc(disks * cpus, sizeof(*users));
    stop_unless(disks > 0 && users, "disks");
    pthread_barrier_init(&all_written, NULL, disks * cpus);
    for (int i = 0; i < disks * cpus; i++) {
        users[i].cpu = i % cpus;
        users[i].path = paths[i / cpus];
    }
    on_cpus(disks * cpus, use, users, sizeof(*users));
    for (int i = 0; i < disks * cpus; i++) {
        wrong += users[i].right != BLOCKS * cpus;
        printf("guest-disks: %s: CPU %d wrote %d blocks, and read %d right\n",
               users[i].path, users[i].cpu, BLOCKS, users[i].right);
    }
    return wrong != 0;
}
