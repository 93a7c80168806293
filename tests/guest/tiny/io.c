/*
 * tiny guest: how long registers of devices take
 *
 * CPU 1 accesses registers in a loop, while CPU 0 halts and then while CPU 0
 * computes; afterwards CPU 0 does the same while CPU 1 halts.  On two nodes
 * each register is one node's own and another node's.  Times are in ticks of
 * the TSC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define BATCHES 7
#define ACCESSES 200
#define WAKE_VECTOR 0x41
#define HPET_CONFIG 0xfed00010u
#define HPET_COUNTER 0xfed000f0u
/* 50 ms: QEMU's HPET counts 10 ns. */
#define HPET_COUNTS 5000000
#define PCI_COMMAND 4
/* Of QEMU's "edu", which node 1 has: this register keeps nothing else. */
#define EDU_LIVENESS 4
/* A port that nothing depends on. */
#define POST_CODE 0x80

/* Of "edu": its configuration space, and its registers; 0 if there is none. */
static uint32_t edu_config, edu;
static uint8_t bytes[50];
/*
 * volatile: CPU 1 changes the first word.  A page of its own, because CPU 0
 * looks at it while CPU 1 is timed.
 */
static volatile uint32_t is_done[1024] __attribute__((aligned(4096)));

static uint32_t tsc(void)
{
    uint32_t low, high;

    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return low;
}

/* volatile: a device */
static volatile uint32_t *reg(uint32_t addr)
{
    /* volatile: a device */
    return (volatile uint32_t *)addr;
}

static uint32_t hpet(void)
{
    return *reg(HPET_COUNTER);
}

/* How often the TSC counts while the HPET counts HPET_COUNTS. */
static uint32_t compare_clocks(void)
{
    uint32_t started, ticks;

    *reg(HPET_CONFIG) = 1;
    started = hpet();
    ticks = tsc();
    while (hpet() - started < HPET_COUNTS) {
        pause();
    }
    return tsc() - ticks;
}

static void find_edu(void)
{
    edu_config = pci_find(0, ~0u, EDU_ID);
    edu = edu_config ? pci_read(edu_config, PCI_BAR0) & ~0xfu : 0;
}

/* -------------------------------------------------------------- accesses */

static void read_hpet(void)
{
    hpet();
}

static void write_port(void)
{
    out32(PCI_ADDRESS, PCI_ENABLE);
}

static void read_config(void)
{
    in32(PCI_DATA);
}

static void read_edu(void)
{
    (void)*reg(edu + EDU_LIVENESS);
}

static void write_edu(void)
{
    *reg(edu + EDU_LIVENESS) = 1;
}

static void read_string(void)
{
    uint8_t *to = bytes;
    uint32_t n = sizeof(bytes);

    asm volatile("rep insb" : "+D"(to), "+c"(n)
                 : "d"((uint16_t)POST_CODE) : "memory");
}

/* Node 0's host bridge. */
static void choose_bridge(void)
{
    out32(PCI_ADDRESS, PCI_ENABLE);
}

/* Its COMMAND and STATUS, which the device's own node gives. */
static void choose_edu(void)
{
    out32(PCI_ADDRESS, PCI_ENABLE | edu_config | PCI_COMMAND);
}

static const struct Kind {
    const char *name;
    void (*begin)(void);
    void (*use)(void);
    uint32_t accesses;          /* of each use */
    bool needs_edu;
} kinds[] = {
    { "node-0-read", choose_bridge, read_hpet, 1, false },
    { "node-0-write", choose_bridge, write_port, 1, false },
    { "node-0-config", choose_bridge, read_config, 1, false },
    { "node-0-string", choose_bridge, read_string, sizeof(bytes), false },
    { "node-1-read", choose_bridge, read_edu, 1, true },
    { "node-1-write", choose_bridge, write_edu, 1, true },
    { "node-1-config", choose_edu, read_config, 1, true },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ------------------------------------------------------------- the clock */

static uint32_t ticks[KINDS][BATCHES];

static void time_kinds(void)
{
    for (uint32_t k = 0; k < KINDS; k++) {
        if (kinds[k].needs_edu && !edu) {
            continue;
        }
        kinds[k].begin();
        for (uint32_t batch = 0; batch < BATCHES; batch++) {
            uint32_t started = tsc();

            for (uint32_t n = 0; n < ACCESSES; n += kinds[k].accesses) {
                kinds[k].use();
            }
            ticks[k][batch] = tsc() - started;
        }
    }
}

/* A line for each kind: the CPU, its name, accesses, ticks of each batch. */
static void tell(const char *state)
{
    for (uint32_t k = 0; k < KINDS; k++) {
        if (kinds[k].needs_edu && !edu) {
            continue;
        }
        say("tiny: io ");
        say(state);
        say(" ");
        say(kinds[k].name);
        say(" ");
        say_number(ACCESSES);
        for (uint32_t batch = 0; batch < BATCHES; batch++) {
            say(" ");
            say_number(ticks[k][batch]);
        }
        say("\n");
    }
}

/* ------------------------------------------------------- the other CPU */

static void woken(void)
{
    apic_write(APIC_EOI, 0);
}

static void time_and_wake(void)
{
    time_kinds();
    is_done[0] = true;
    ipi(0, 0x4000 | WAKE_VECTOR);
}

static void time_on_1(bool halt)
{
    is_done[0] = false;
    run_on(1, time_and_wake);
    while (!is_done[0]) {
        asm volatile("cli");
        if (halt && !is_done[0]) {
            /* An interrupt between the two instructions ends the second. */
            asm volatile("sti; hlt");
        }
        asm volatile("sti");
    }
    join(1);
}

static void halt_for_ever(void)
{
    for (;;) {
        asm volatile("cli; hlt");
    }
}

void time_io(void)
{
    uint32_t in_50_ms = compare_clocks();

    on_interrupt(WAKE_VECTOR, woken);
    find_edu();
    say("tiny: io begins, ");
    say_number(in_50_ms);
    say(" ticks in 50 ms\n");
    time_on_1(true);
    tell("cpu-1-idle");
    time_on_1(false);
    tell("cpu-1-busy");
    run_on(1, halt_for_ever);
    time_kinds();
    tell("cpu-0-idle");
    say("tiny: io ends\n");
    power_off();
}
