/*
 * Promises of x86 about memory, between CPUs
 *
 * Litmus tests run in batches: all CPUs meet at a barrier, then race through
 * the slots of a batch, then the outcomes are compared with what the
 * architecture forbids (Intel SDM volume 3, 9.2.3; Owens, Sarkar and Sewell
 * 2009).  The variables of a test lie on different pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "guest-check.h"

#define PAGE 4096
#define SLOTS 64
#define STRIDE (PAGE / SLOTS)
#define CPUS_MAX 64

/* Volatile: every access of the source is one of the machine. */
typedef volatile uint32_t Slot;

static uint8_t *area;
static atomic_int barrier_count, barrier_sense;
static int threads;
static long batches;
static long violations;

/* Slot @i of the variable on page @page. */
static Slot *slot(int page, int i)
{
    return (Slot *)(area + page * PAGE + i * STRIDE);
}

static void barrier(int *sense)
{
    *sense = !*sense;
    if (atomic_fetch_add(&barrier_count, 1) == threads - 1) {
        atomic_store(&barrier_count, 0);
        atomic_store(&barrier_sense, *sense);
    } else {
        while (atomic_load(&barrier_sense) != *sense) {
            __builtin_ia32_pause();
        }
    }
}

static void mfence(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

/* Compiler barrier: the order of the source is the order of the code. */
#define ORDER() __asm__ volatile("" : : : "memory")

struct result {
    uint32_t a[SLOTS], b[SLOTS];
};
static struct result *result[CPUS_MAX];

typedef struct Litmus {
    const char *name;
    int threads;
    void (*act)(int thread, int i);
    int (*forbidden)(int i);
} Litmus;

/* Message passing: x=1; y=1 | r1=y; r2=x, never r1=1 and r2=0. */
static void mp_act(int t, int i)
{
    if (t == 0) {
        *slot(0, i) = 1;
        ORDER();
        *slot(1, i) = 1;
    } else {
        result[t]->a[i] = *slot(1, i);
        ORDER();
        result[t]->b[i] = *slot(0, i);
    }
}

static int mp_forbidden(int i)
{
    return result[1]->a[i] == 1 && result[1]->b[i] == 0;
}

/* Store buffering with fences: x=1; r1=y | y=1; r2=x, never both 0. */
static void sb_act(int t, int i)
{
    *slot(t, i) = 1;
    mfence();
    result[t]->a[i] = *slot(1 - t, i);
}

static int sb_forbidden(int i)
{
    return result[0]->a[i] == 0 && result[1]->a[i] == 0;
}

/* Load buffering: r1=x; y=1 | r2=y; x=1, never both 1. */
static void lb_act(int t, int i)
{
    result[t]->a[i] = *slot(t, i);
    ORDER();
    *slot(1 - t, i) = 1;
}

static int lb_forbidden(int i)
{
    return result[0]->a[i] == 1 && result[1]->a[i] == 1;
}

/* Independent reads of independent writes: readers agree on the order. */
static void iriw_act(int t, int i)
{
    if (t < 2) {
        *slot(t, i) = 1;
    } else {
        result[t]->a[i] = *slot(t - 2, i);
        ORDER();
        result[t]->b[i] = *slot(3 - t, i);
    }
}

static int iriw_forbidden(int i)
{
    return result[2]->a[i] == 1 && result[2]->b[i] == 0 &&
           result[3]->a[i] == 1 && result[3]->b[i] == 0;
}

static const Litmus litmus[] = {
    { "message passing", 2, mp_act, mp_forbidden },
    { "store buffering, fenced", 2, sb_act, sb_forbidden },
    { "load buffering", 2, lb_act, lb_forbidden },
    { "IRIW", 4, iriw_act, iriw_forbidden },
};
static const Litmus *current;

static void *litmus_thread(void *arg)
{
    int t = *(int *)arg;
    int sense = 0;

    for (long n = 0; n < batches; n++) {
        if (t == 0) {
            memset(area, 0, 2 * PAGE);
        }
        barrier(&sense);
        for (int i = 0; i < SLOTS; i++) {
            /* Not all in the same direction, so that they meet. */
            current->act(t, t & 1 ? SLOTS - 1 - i : i);
        }
        barrier(&sense);
        for (int i = 0; t == 0 && i < SLOTS; i++) {
            violations += current->forbidden(i);
        }
    }
    return NULL;
}

/* ------------------------------------------- arithmetic on shared words */

typedef unsigned __int128 Pair;

enum { LOCKED, SPLIT_LINE, SPLIT_PAGE, CMPXCHG16B, BYTES, COUNTERS };
static const char *const counter_name[COUNTERS] = {
    "locked add", "locked add across cache lines",
    "locked add across pages", "cmpxchg16b", "neighbouring bytes",
};
static const int counter_at[COUNTERS] = {
    PAGE, PAGE + 128 - 2, 3 * PAGE - 2, 3 * PAGE + 256, 3 * PAGE + 512,
};
static int counter;

static void add_one(void)
{
    uint8_t *at = area + counter_at[counter];
    Pair old, new;

    if (counter == CMPXCHG16B) {
        uint64_t *p = (uint64_t *)at;
        uint8_t done;

        do {
            uint64_t lo = p[0], hi = p[1];

            __asm__ volatile("lock cmpxchg16b %1; sete %0"
                             : "=q"(done), "+m"(*(Pair *)p), "+a"(lo),
                               "+d"(hi)
                             : "b"(lo + 1), "c"(hi + 1) : "memory", "cc");
        } while (!done);
        (void)old, (void)new;
    } else {
        __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)at) : : "cc");
    }
}

static void *count_thread(void *arg)
{
    int t = *(int *)arg;
    /* Volatile: stored and loaded each time. */
    volatile uint8_t *byte = area + counter_at[BYTES] + t;

    for (long n = 0; n < batches; n++) {
        if (counter == BYTES) {
            uint8_t before = *byte;

            *byte = before + 1;
            if (*byte != (uint8_t)(before + 1)) {
                __atomic_add_fetch(&violations, 1, __ATOMIC_SEQ_CST);
            }
        } else {
            add_one();
        }
    }
    return NULL;
}

static void check_counter(void)
{
    uint64_t *pair = (uint64_t *)(area + counter_at[CMPXCHG16B]);
    uint32_t word;

    memcpy(&word, area + counter_at[counter], sizeof(word));
    if (counter == CMPXCHG16B) {
        violations += pair[0] != (uint64_t)batches * threads ||
                      pair[1] != pair[0];
    } else if (counter == BYTES) {
        for (int t = 0; t < threads; t++) {
            violations += area[counter_at[BYTES] + t] != (uint8_t)batches;
        }
    } else {
        violations += word != (uint32_t)(batches * threads);
    }
}

static int report(const char *name, long iterations, long before)
{
    printf("litmus: %s: %ld iterations on %d CPUs, %ld violations\n", name,
           iterations, threads, violations - before);
    return violations != before;
}

static void run(void *(*fn)(void *))
{
    int number[CPUS_MAX];

    for (int t = 0; t < threads; t++) {
        number[t] = t;
    }
    on_cpus(threads, fn, number, sizeof(number[0]));
}

int check_litmus(long iterations)
{
    int cpus = cpu_count() < CPUS_MAX ? cpu_count() : CPUS_MAX;
    int bad = 0;

    area = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int t = 0; t < CPUS_MAX; t++) {
        result[t] = aligned_alloc(PAGE, PAGE);
        memset(result[t], 0, PAGE);
    }
    for (unsigned i = 0; i < sizeof(litmus) / sizeof(litmus[0]); i++) {
        long before = violations;

        current = &litmus[i];
        threads = current->threads;
        batches = iterations / SLOTS + 1;
        if (threads <= cpus) {
            run(litmus_thread);
            bad |= report(current->name, batches * SLOTS, before);
        }
    }
    for (counter = 0; counter < COUNTERS; counter++) {
        long before = violations;

        threads = cpus;
        batches = iterations / cpus + 1;
        memset(area, 0, 8 * PAGE);
        run(count_thread);
        check_counter();
        bad |= report(counter_name[counter], batches * threads, before);
    }
    return bad;
}
