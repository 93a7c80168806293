/*
 * Checks of test guests, one file a subject
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include <stdint.h>

/* Number of CPUs online, and running on one of them. */
int cpu_count(void);
void pin_to_cpu(int cpu);
/* Run fn(arg[i]) on CPU i of @n, all at once; wait for all. */
void on_cpus(int n, void *(*fn)(void *), void *args, unsigned arg_size);
uint64_t now_ns(void);

/* Subjects: 0 if all is well. */
int check_each_cpu(const char *nodes);
int check_sum(void);
int check_litmus(long iterations);
int check_code(long iterations);
int check_sleep(long iterations);
int check_memory(long megabytes);
int is_prime(int n);
int check_compute(long limit);
int check_read(long megabytes);
int check_leak(void);
int check_dma(const char *path, long megabytes);
int check_dma_bench(const char *path, long rounds);
int check_wake(long trips);
int check_disks(int disks, char **paths);
int check_sequential(long rounds, long megabytes, int disks, char **paths);

#endif
