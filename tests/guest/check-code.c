/*
 * Code written by one CPU and run by another; mappings taken away
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "guest-check.h"

#define PAGE 4096
/* mov $imm32, %eax; ret */
#define CODE_BYTES 6

static uint8_t *code;           /* two pages */
static uint32_t *window;        /* a mapping that is replaced */
static _Atomic uint32_t turn;   /* odd: the writer's value is in place */
static long rounds;
static atomic_long wrong;
static int variant;

/* Within a page, and with its immediate on the next one. */
static uint8_t *code_at(void)
{
    return code + (variant ? PAGE - 3 : 64);
}

static void write_code(uint32_t value)
{
    uint8_t text[CODE_BYTES] = { 0xb8 };

    memcpy(text + 1, &value, sizeof(value));
    text[5] = 0xc3;
    memcpy(code_at(), text, CODE_BYTES);
}

static uint32_t run_code(void)
{
    unsigned a, b, c, d;

    /* Cross-modifying code: the executing CPU serialises first. */
    __cpuid(0, a, b, c, d);
    return ((uint32_t (*)(void))code_at())();
}

static void replace_window(uint32_t value)
{
    window[0] = value - 1;
    mmap(window, PAGE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    window[0] = value;
}

static void *writer(void)
{
    for (uint32_t n = 1; n <= rounds; n++) {
        while (turn != 2 * (n - 1)) {
            __builtin_ia32_pause();
        }
        write_code(n);
        replace_window(n);
        turn = 2 * n - 1;
    }
    return NULL;
}

static void *runner(void)
{
    for (uint32_t n = 1; n <= rounds; n++) {
        while (turn != 2 * n - 1) {
            __builtin_ia32_pause();
        }
        wrong += run_code() != n;
        /* Shot down: never the page that was mapped before. */
        wrong += *(volatile uint32_t *)window != n;
        turn = 2 * n;
    }
    return NULL;
}

static void *either(void *arg)
{
    return *(int *)arg ? runner() : writer();
}

int check_code(long iterations)
{
    int roles[2][2] = { { 0, 1 }, { 1, 0 } };

    if (cpu_count() < 2) {
        return 0;
    }
    code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    window = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rounds = iterations / 4 + 1;
    for (int direction = 0; direction < 2; direction++) {
        for (variant = 0; variant < 2; variant++) {
            turn = 0;
            on_cpus(2, either, roles[direction], sizeof(int));
        }
    }
    printf("code: %ld times written on one CPU and run on another, with the"
           " mapping beside it replaced: %ld violations\n", 4 * rounds,
           (long)wrong);
    return wrong != 0;
}
