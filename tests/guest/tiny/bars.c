/*
 * tiny guest: registers move while all CPUs read them
 *
 * One CPU after the other moves the registers of QEMU's "edu", which node 1
 * has, to and fro between two addresses, and says in memory where they are.  A
 * CPU that has read there that they are at one address finds them at it, and
 * finds nothing at the other one.
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
/* The root of q35: vendor and device, and where configuration is in memory. */
#define MCH_ID 0x29c08086u
#define MCH_PCIEXBAR 0x60
#define MCH_PCIEXBAR_ON 1

static uint32_t edu_config, place[2];
/* Where configuration is in memory, or 0. */
static uint32_t ecam;
/* A page of their own, which the CPU that moves takes from all other ones. */
static struct {
    /* volatile: one CPU writes them, and the other ones read them */
    volatile uint32_t begun, done, is_over;
} moves __attribute__((aligned(4096)));
/* volatile: as above; the last move whose end each CPU has checked */
static volatile uint32_t seen[CPUS][1024] __attribute__((aligned(4096)));

static uint32_t look(uint32_t at)
{
    /* TCG's CPU has a changed map from its next block on; this ends one. */
    pause();
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

/*
 * Move it, and announce that.  By memory where that works: TCG executes both in
 * one block then, while access to a port ends one.
 */
static void move_to(uint32_t to, uint32_t number)
{
    if (!ecam) {
        pci_write(edu_config, PCI_BAR0, to);
        moves.done = number;
        return;
    }
    /* volatile: a device */
    *(volatile uint32_t *)(ecam + (edu_config << 4) + PCI_BAR0) = to;
    moves.done = number;
}

static void move(void)
{
    uint32_t cpu = apic_id();

    for (uint32_t n = 0; n < (cpu ? MOVES_ELSEWHERE : MOVES); n++) {
        uint32_t next = moves.done + 1;

        moves.begun = next;
        move_to(place[next & 1], next);
        check(look(next), look(next + 1));
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

static void find_ecam(void)
{
    uint32_t bar = pci_read(0, MCH_PCIEXBAR);

    if (pci_read(0, 0) == MCH_ID && bar & MCH_PCIEXBAR_ON) {
        ecam = bar & 0xf0000000;
    }
}

void move_bars(void)
{
    find_ecam();
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
