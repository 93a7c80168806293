/*
 * Guest: bytes that a disk reads and writes past the page cache
 *
 * The image begins with words that name themselves: number of the word, times
 * an odd constant.  The last CPU reads them into pages that it owns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "guest-check.h"

#define MIB (1 << 20)
#define SECTOR 512
#define PAGE 4096
#define STRETCH_PAGES 512
#define CODES 8
#define CODE_ROUNDS 100
#define FACTOR 0x9e3779b97f4a7c15ull

static uint64_t word(uint64_t number)
{
    return (number + 1) * FACTOR;
}

static void fill(uint64_t *buf, size_t bytes, off_t at)
{
    for (size_t i = 0; i < bytes / 8; i++) {
        buf[i] = word(at / 8 + i);
    }
}

static void check(const uint64_t *buf, size_t bytes, off_t at)
{
    for (size_t i = 0; i < bytes / 8; i++) {
        if (buf[i] != word(at / 8 + i)) {
            printf("guest-dma: word %zu of the %zu bytes at %lld is WRONG\n",
                   i, bytes, (long long)at);
            exit(1);
        }
    }
}

/* Fill a buffer on its own CPU, so that its pages are there; then read. */
static void read_at(int fd, void *buf, size_t bytes, off_t at)
{
    memset(buf, 0x5a, bytes);
    if (pread(fd, buf, bytes, at) != (ssize_t)bytes) {
        perror("guest-dma: read");
        exit(1);
    }
    check(buf, bytes, at);
}

/* Heads and tails of pages: sectors at any sector's place of memory. */
static void read_odd(int fd, char *buf, long megabytes)
{
    uint64_t chance = 1;

    for (int i = 0; i < 200; i++) {
        size_t begin, bytes;
        off_t at;

        chance = chance * FACTOR + 1;
        begin = (chance >> 40) % 64 * SECTOR;
        bytes = (1 + (chance >> 50) % 100) * SECTOR;
        at = (chance >> 20) % (megabytes * (MIB / SECTOR) - 200) * SECTOR;
        read_at(fd, buf + begin, bytes, at);
    }
}

/* Number of the page at @at in the guest's memory. */
static uint64_t page_number(int pagemap, const char *at)
{
    uint64_t entry = 0;

    if (pread(pagemap, &entry, sizeof(entry),
              (uintptr_t)at / PAGE * sizeof(entry)) != sizeof(entry)) {
        perror("guest-dma: pagemap");
        exit(1);
    }
    return entry & ((1ull << 55) - 1);
}

/*
 * 1 MiB of which most pages are in stretches with odd numbers, as the second
 * of two lanes has them.  Prints its pages, for the host.
 */
static char *make_buffer(void)
{
    char *all = aligned_alloc(PAGE, 8 * MIB), *best = all;
    int pagemap = open("/proc/self/pagemap", O_RDONLY), most = -1;

    memset(all, 1, 8 * MIB);
    for (char *buf = all; buf < all + 8 * MIB; buf += MIB) {
        int odd = 0;

        for (int i = 0; i < MIB / PAGE; i++) {
            odd += page_number(pagemap, buf + i * PAGE) / STRETCH_PAGES % 2;
        }
        if (odd > most) {
            most = odd;
            best = buf;
        }
    }
    printf("guest-dma: pages");
    for (int i = 0; i < MIB / PAGE; i++) {
        printf(" %llx",
               (unsigned long long)page_number(pagemap, best + i * PAGE));
    }
    printf("\n");
    close(pagemap);
    return best;
}

static void write_again(int fd, void *buf, long megabytes)
{
    for (long i = 0; i < megabytes; i++) {
        off_t at = (megabytes + i) * MIB;

        fill(buf, MIB, at);
        if (pwrite(fd, buf, MIB, at) != MIB) {
            perror("guest-dma: write");
            exit(1);
        }
    }
}

static void stop_if(int wrong, const char *what)
{
    if (wrong) {
        printf("guest-dma: %s is WRONG\n", what);
        exit(1);
    }
}

/* Page by page, functions that return their number. */
static void write_codes(int fd, uint8_t *buf, off_t at)
{
    for (uint32_t n = 0; n < CODES; n++) {
        /* mov $n, %eax; ret */
        uint8_t text[] = { 0xb8, n, 0, 0, 0, 0xc3 };

        memset(buf, 0xcc, PAGE);
        memcpy(buf, text, sizeof(text));
        stop_if(pwrite(fd, buf, PAGE, at + n * PAGE) != PAGE, "a write");
    }
}

/*
 * Code that a CPU has executed, and so translated, is overwritten by the disk,
 * while the CPU's node owns the page.
 */
static void run_codes(int fd, off_t at)
{
    uint8_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t (*run)(void) = (void *)code;
    uint32_t last = 0;

    stop_if(pread(fd, code, PAGE, at) != PAGE, "a read");
    for (uint32_t round = 1; round <= CODE_ROUNDS; round++) {
        uint32_t next = round * 5 % CODES;

        pin_to_cpu(round % 4 ? cpu_count() - 1 : 0);
        code[PAGE - 1]++;
        stop_if(run() != last, "code");
        stop_if(pread(fd, code, PAGE, at + next * PAGE) != PAGE, "a read");
        stop_if(run() != next, "code that came by DMA");
        last = next;
    }
    printf("guest-dma: has run code\n");
}

/*
 * A read that fails, but for its first page, shows no bytes of other requests.
 * Nor has it half of its own: a failed read leaves memory as it was.
 */
static void read_bad(int fd, uint8_t *buf, off_t at)
{
    off_t left = lseek(fd, 0, SEEK_END) - at;
    size_t bytes = left < MIB ? left : MIB;

    if (!bytes) {
        return;
    }
    pin_to_cpu(cpu_count() - 1);
    memset(buf, 0x5a, bytes);
    stop_if(pread(fd, buf, bytes, at) != -1 || errno != EIO,
            "a read of a bad disk");
    for (size_t i = 0; i < bytes; i++) {
        stop_if(buf[i] != 0x5a, "memory behind a read that failed");
    }
    printf("guest-dma: has failed to read\n");
}

/*
 * Of the disk's first half; the second is written.  Behind it is code, and behind
 * that what cannot be read, if anything.
 */
int check_dma(const char *path, long megabytes)
{
    int fd = open(path, O_RDWR | O_DIRECT);
    char *buf;

    pin_to_cpu(cpu_count() - 1);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    buf = make_buffer();
    sleep(1);
    printf("guest-dma: reads\n");
    for (long i = 0; i < megabytes; i++) {
        read_at(fd, buf, MIB, i * MIB);
    }
    printf("guest-dma: has read\n");
    sleep(1);
    printf("guest-dma: writes\n");
    write_again(fd, buf, megabytes);
    printf("guest-dma: has written\n");
    sleep(1);
    read_odd(fd, buf, 2 * megabytes);
    pin_to_cpu(0);
    for (long i = 0; i < 2 * megabytes; i++) {
        read_at(fd, buf, MIB, i * MIB);
    }
    read_odd(fd, buf, 2 * megabytes);
    write_codes(fd, (uint8_t *)buf, 2 * megabytes * MIB);
    run_codes(fd, 2 * megabytes * MIB);
    read_bad(fd, (uint8_t *)buf, 2 * megabytes * MIB + CODES * PAGE);
    printf("guest-dma: all is right\n");
    return 0;
}
