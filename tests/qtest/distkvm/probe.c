/*
 * Latencies of page faults, as the thread that faults sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/thread.h"
#include "accel/distkvm/memory/mem.h"
#include "probe.h"

void probe_init(Probe *probe, unsigned max)
{
    *probe = (Probe) { .ns = g_new(uint64_t, max), .max = max };
}

void probe_free(Probe *probe)
{
    g_free(probe->ns);
}

int64_t probe_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void probe_add(Probe *probe, int64_t ns)
{
    if (probe->n < probe->max) {
        probe->ns[probe->n++] = ns;
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void probe_print(Probe *probe)
{
    if (!probe->n) {
        printf("median 0 p99 0 min 0 n 0\n");
        return;
    }
    qsort(probe->ns, probe->n, sizeof(*probe->ns), by_size);
    printf("median %" PRIu64 " p99 %" PRIu64 " min %" PRIu64 " n %u\n",
           probe->ns[probe->n / 2], probe->ns[probe->n * 99 / 100],
           probe->ns[0], probe->n);
}

bool probe_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET(cpu, &set);
    } else {
        for (int i = 0; i < CPU_SETSIZE; i++) {
            CPU_SET(i, &set);
        }
    }
    return !sched_setaffinity(0, sizeof(set), &set);
}

/* -------------------------------------------------------------- wake-ups */

typedef struct Pair {
    QemuSemaphore ping, pong;
    unsigned times;
} Pair;

static void *pong_thread(void *opaque)
{
    Pair *pair = opaque;

    for (unsigned i = 0; i < pair->times; i++) {
        qemu_sem_wait(&pair->ping);
        qemu_sem_post(&pair->pong);
    }
    return NULL;
}

void probe_wake(Probe *probe, unsigned times)
{
    Pair pair = { .times = times };
    QemuThread thread;

    qemu_sem_init(&pair.ping, 0);
    qemu_sem_init(&pair.pong, 0);
    qemu_thread_create(&thread, "pong", pong_thread, &pair,
                       QEMU_THREAD_JOINABLE);
    for (unsigned i = 0; i < times; i++) {
        int64_t start = probe_now_ns();

        qemu_sem_post(&pair.ping);
        qemu_sem_wait(&pair.pong);
        probe_add(probe, (probe_now_ns() - start) / 2);
    }
    qemu_thread_join(&thread);
    qemu_sem_destroy(&pair.ping);
    qemu_sem_destroy(&pair.pong);
}

/* ----------------------------------------------------------------- floor */

typedef struct Floor {
    Mem *mem;
    uint8_t page[COH_PAGE_SIZE];
    bool present;
    bool stop;                  /* atomic */
} Floor;

static void *floor_thread(void *opaque)
{
    Floor *f = opaque;
    MemFault fault;

    while (!qatomic_read(&f->stop)) {
        struct pollfd fd = { .fd = mem_fd(f->mem, 0), .events = POLLIN };

        poll(&fd, 1, 100);
        while (mem_faults(f->mem, 0, &fault, 1) > 0) {
            if (f->present) {
                mem_protect(f->mem, fault.page, 1, true);
            } else {
                mem_install(f->mem, fault.page, f->page, true);
            }
            mem_wake(f->mem, fault.page);
        }
    }
    return NULL;
}

static void touch_all(Probe *probe, uint8_t *memory, unsigned pages,
                      bool write, unsigned pause_us)
{
    for (unsigned i = 0; i < pages; i++) {
        /* Volatile: the access itself is what is measured. */
        volatile uint8_t *at = memory + (size_t)i * COH_PAGE_SIZE;
        int64_t start = probe_now_ns();

        if (write) {
            *at = 1;
        } else {
            (void)*at;
        }
        probe_add(probe, probe_now_ns() - start);
        if (pause_us) {
            g_usleep(pause_us);
        }
    }
}

bool probe_floor(Probe *probe, unsigned faults, ProbeKind kind,
                 unsigned pause_us)
{
    size_t bytes = (size_t)faults * COH_PAGE_SIZE;
    Lanes one = lanes_make(1, faults);
    Floor f = {
        .mem = mem_uffd_new(&one, NULL), .present = kind == PROBE_UPGRADE,
    };
    QemuThread thread;
    void *memory;

    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!f.mem || memory == MAP_FAILED ||
        !mem_add_block(f.mem, "floor", memory, bytes, 0, NULL)) {
        return false;
    }
    memset(f.page, 1, sizeof(f.page));
    for (unsigned i = 0; f.present && i < faults; i++) {
        mem_install(f.mem, i, f.page, false);
    }
    qemu_thread_create(&thread, "floor", floor_thread, &f,
                       QEMU_THREAD_JOINABLE);
    touch_all(probe, memory, faults, kind != PROBE_READ, pause_us);
    qatomic_set(&f.stop, true);
    qemu_thread_join(&thread);
    mem_free(f.mem);
    munmap(memory, bytes);
    return true;
}
