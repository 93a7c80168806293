/*
 * Guest: bytes that leave by disk, 9p and network without end
 *
 * Nothing of it is ever zero, so a zero outside is something this guest never
 * wrote.  The last CPU fills the buffers, the devices of node 0 fetch them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "guest-check.h"

#define PATTERN 0xa5
#define CHUNK (256 << 10)
#define DISK_BYTES (32 << 20)
#define PACKET 1400

static void *write_disk(void *opaque)
{
    const char *path = opaque;
    int fd = open(path, O_WRONLY | O_DIRECT);
    char *buf = aligned_alloc(4096, CHUNK);

    pin_to_cpu(cpu_count() - 1);
    for (off_t at = 0; fd >= 0; at = (at + CHUNK) % DISK_BYTES) {
        memset(buf, PATTERN, CHUNK);
        if (pwrite(fd, buf, CHUNK, at) != CHUNK) {
            perror(path);
            break;
        }
    }
    return NULL;
}

static void *fill(void *opaque)
{
    pin_to_cpu(cpu_count() - 1);
    for (;;) {
        memset(opaque, PATTERN, CHUNK);
        usleep(100);
    }
    return NULL;
}

/* The first CPU asks for the last one's bytes, and goes on when that is lost. */
static void *write_file(void *opaque)
{
    int fd = open(opaque, O_WRONLY);
    char *buf = aligned_alloc(4096, CHUNK);
    pthread_t filler;

    pin_to_cpu(0);
    memset(buf, PATTERN, CHUNK);
    pthread_create(&filler, NULL, fill, buf);
    for (off_t at = 0; fd >= 0; at = (at + CHUNK) % DISK_BYTES) {
        if (pwrite(fd, buf, CHUNK, at) != CHUNK) {
            perror(opaque);
            break;
        }
    }
    return NULL;
}

static void *send_packets(void *opaque)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    char packet[PACKET];

    (void)opaque;
    pin_to_cpu(cpu_count() - 1);
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
    inet_aton("10.0.0.255", &to.sin_addr);
    memset(packet, PATTERN, sizeof(packet));
    for (;;) {
        if (sendto(fd, packet, sizeof(packet), 0, (struct sockaddr *)&to,
                   sizeof(to)) < 0) {
            usleep(1000);
        }
    }
    return NULL;
}

int check_leak(void)
{
    pthread_t thread[4];

    pthread_create(&thread[0], NULL, write_disk, "/dev/vda");
    pthread_create(&thread[1], NULL, write_disk, "/dev/vdb");
    pthread_create(&thread[2], NULL, send_packets, NULL);
    pthread_create(&thread[3], NULL, write_file, "/mnt/file");
    pthread_join(thread[0], NULL);
    return 1;
}
