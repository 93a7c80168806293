/*
 * Latencies of page faults, as the thread that faults sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PROBE_H
#define PROBE_H

typedef struct Probe {
    uint64_t *ns;           /* of each fault, in order of size after probe_sort */
    unsigned n, max;
} Probe;

void probe_init(Probe *probe, unsigned max);
void probe_free(Probe *probe);
int64_t probe_now_ns(void);
void probe_add(Probe *probe, int64_t ns);
/* Print "median M p99 P min L n N", in ns. */
void probe_print(Probe *probe);

/* Run on @cpu only; -1: on any.  False if that is not allowed. */
bool probe_pin(int cpu);

/*
 * @times: one thread wakes another and is woken by it, by semaphores; half the
 * time of that, on any CPU.
 */
void probe_wake(Probe *probe, unsigned times);

typedef enum ProbeKind { PROBE_READ, PROBE_WRITE, PROBE_UPGRADE } ProbeKind;

/*
 * The floor: faults on memory of this process alone, resolved with a copy of
 * a page by another thread on the same CPU, with a pause after each.
 * PROBE_UPGRADE: the page is there, but protected against writing.  False if
 * userfaultfd cannot be used.
 */
bool probe_floor(Probe *probe, unsigned faults, ProbeKind kind,
                 unsigned pause_us);

#endif
