/*
 * tiny guest: registers move while all CPUs read them
 *
 * One CPU after the other moves the registers of QEMU's "edu", which node 1 has,
 * to and fro between two addresses, and says in memory where they are.  A CPU
 * that has read there that they are at one address finds them at it, and finds
 * nothing at the other one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define CPUS 3
/* Three CPUs that poll on two of the host need some 20 ms for each. */
#define MOVES 2000
/* By CPUs of other nodes than node 0: each takes two trips. */
#define MOVES_ELSEWHERE 500
#define BRIDGE_BUSES 0x18
#define BRIDGE_MEMORY 0x20
#define EDU_BYTES 0x100000u
#define EDU_SHOWS 0x010000edu

static uint32_t edu_config, place[2];
/* A page of their own, which the CPU that moves takes from all other ones. */
static struct {
    /* volatile: one CPU writes them, and the other ones read them */
    volatile uint32_t begun, done, is_over;
} moves __attribute__((aligned(4096)));
/* volatile: as above; the last move whose end each CPU has checked */
static volatile uint32_t seen[CPUS][1024] __attribute__((aligned(4096)));

static uint32_t look(uint32_t at)
{
    /* volatile: a device */
    return *(volatile uint32_t *)place[at & 1];
}

static bool is_nothing(uint32_t found)
{
    return !found || found == ~0u;
}

static void check(uint32_t here, uint32_t there)
{
    if (here != EDU_SHOWS) {
        fail("a BAR is not where it was moved to");
    }
    if (!is_nothing(there)) {
        fail("a BAR is still where it was");
    }
}

static void watch(void)
{
    uint32_t cpu = apic_id();

    while (!moves.is_over) {
        uint32_t done = moves.done, here = look(done), there = look(done + 1);

        if (moves.begun == done) {
            check(here, there);
            seen[cpu][0] = done;
        } else if ((here != EDU_SHOWS && !is_nothing(here)) ||
                   (there != EDU_SHOWS && !is_nothing(there))) {
            fail("a BAR that moves shows what no register has");
        }
    }
}

/* TCG executes all three in one block: the move, its announcement, and a look. */
static uint32_t move_and_look(uint32_t to, uint32_t number)
{
    uint32_t found;

    out32(PCI_ADDRESS, PCI_ENABLE | edu_config | PCI_BAR0);
    asm volatile("outl %2, %3; movl %4, %1; movl (%2), %0"
                 : "=&r"(found), "=m"(moves.done)
                 : "a"(to), "d"((uint16_t)PCI_DATA), "r"(number)
                 : "memory");
    return found;
}

static void move(void)
{
    uint32_t cpu = apic_id();

    for (uint32_t n = 0; n < (cpu ? MOVES_ELSEWHERE : MOVES); n++) {
        uint32_t next = moves.done + 1, here;

        moves.begun = next;
        here = move_and_look(place[next & 1], next);
        check(here, look(next + 1));
        for (uint32_t c = 0; c < CPUS; c++) {
            while (c != cpu && seen[c][0] != next) {
                pause();
            }
        }
    }
    moves.is_over = true;
}

/* A second place in the window of the bridge that the device is behind. */
static void find_places(void)
{
    uint32_t bridge, window;

    edu_config = pci_find(0, ~0u, EDU_ID);
    if (!edu_config) {
        fail("there is no device to move");
    }
    bridge = pci_find(BRIDGE_BUSES, 0xff00, edu_config >> 8 & 0xff00);
    window = pci_read(bridge, BRIDGE_MEMORY);
    place[0] = pci_read(edu_config, PCI_BAR0) & ~0xfu;
    place[1] = (window & 0xfff0) << 16;
    if (place[1] == place[0]) {
        place[1] += EDU_BYTES;
    }
    if (!bridge || place[1] > (window & 0xfff00000)) {
        fail("its bridge has no room for it");
    }
}

void move_bars(void)
{
    find_places();
    while (cpus() < CPUS) {
        pause();
    }
    for (uint32_t mover = 0; mover < CPUS; mover++) {
        moves.is_over = false;
        for (uint32_t c = 1; c < CPUS; c++) {
            run_on(c, c == mover ? move : watch);
        }
        if (mover) {
            watch();
        } else {
            move();
        }
        for (uint32_t c = 1; c < CPUS; c++) {
            join(c);
        }
        say("tiny: a BAR moves, and all find it: CPU ");
        say_number(mover);
        say("\n");
    }
    power_off();
}
