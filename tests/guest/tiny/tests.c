/*
 * tiny guest: its tests
 *
 * CPU 0 is on node 0, CPU 1 on node 1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define ROUNDS 500
#define IPI_VECTOR 0x40
#define TIMER_VECTOR 0x20
#define CLOCK_VECTOR 0x28
#define TICKS 20
/* 8253: 200 ticks a second. */
#define TIMER_DIVISOR (1193182 / 200)

/* volatile: other CPUs and interrupts change it */
static volatile uint32_t counter, plain[2];

static void add(uint32_t cpu)
{
    for (int i = 0; i < ROUNDS; i++) {
        asm volatile("lock incl %0" : "+m"(counter));
        plain[cpu]++;
    }
}

static void add_on_1(void)
{
    add(1);
}

void test_counters(void)
{
    run_on(1, add_on_1);
    add(0);
    join(1);
    if (counter != 2 * ROUNDS) {
        fail("locked increments are lost");
    }
    if (plain[0] != ROUNDS || plain[1] != ROUNDS) {
        fail("neighbouring words are lost");
    }
    say("tiny: counters are right\n");
}

static uint32_t counted[1024] __attribute__((aligned(4096)));

static void count(void)
{
    for (;;) {
        asm volatile("incl %0" : "+m"(counted[0]));
    }
}

void count_for_ever(void)
{
    run_on(1, count);
    say("tiny: counting at ");
    say_number((uint32_t)counted);
    say("\n");
    for (;;) {
        asm volatile("hlt");
    }
}

/* volatile: as above */
static volatile uint32_t ball;
static uint32_t id[2];

static void ipi_came(void)
{
    ball++;
    apic_write(APIC_EOI, 0);
}

static void play(uint32_t cpu)
{
    id[cpu] = apic_id();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        while (ball != 2 * i + cpu) {
            pause();
        }
        /* The interrupt counts on the other CPU. */
        ipi(cpu ^ 1, IPI_VECTOR);
        while (ball == 2 * i + cpu) {
            pause();
        }
    }
}

static void play_on_1(void)
{
    play(1);
}

void test_ipi(void)
{
    on_interrupt(IPI_VECTOR, ipi_came);
    run_on(1, play_on_1);
    play(0);
    join(1);
    if (ball != 2 * ROUNDS || id[0] != 0 || id[1] != 1) {
        fail("interrupts between CPUs are lost");
    }
    say("tiny: interrupts between CPUs are right\n");
}

/* volatile: as above */
static volatile uint32_t ticks[2];

static void tick_came(void)
{
    ticks[apic_id()]++;
    outb(0x20, 0x20);
}

static void listen(void)
{
    apic_write(APIC_LINT0, 0x700);
    while (ticks[1] < TICKS) {
        pause();
    }
    outb(0x21, 0xff);
    apic_write(APIC_LINT0, 0x10700);
}

/* The 8259 on node 0 interrupts CPU 1, and nobody else. */
void test_extint(void)
{
    on_interrupt(TIMER_VECTOR, tick_came);
    apic_write(APIC_LINT0, 0x10700);
    run_on(1, listen);
    outb(0x43, 0x34);
    outb(0x40, TIMER_DIVISOR & 0xff);
    outb(0x40, TIMER_DIVISOR >> 8);
    outb(0x21, 0xfe);
    join(1);
    if (ticks[0]) {
        fail("the 8259 interrupts a CPU that does not listen");
    }
    say("tiny: the 8259 is heard on another node\n");
}

/* volatile: as above */
static volatile uint32_t timer_came, clock_came;

static uint8_t cmos_read(uint8_t reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static void count_timer(void)
{
    timer_came++;
}

static void count_clock(void)
{
    clock_came++;
    cmos_read(0x0c);
}

static bool is_pending(uint16_t port)
{
    outb(port, 0x0a);
    return inb(port) & 1;
}

static void take_two(void)
{
    asm volatile("cli");
    init_8259(true);
    apic_write(APIC_LINT0, 0x700);
    /* The timer once, the clock 1024 times a second. */
    outb(0x43, 0x30);
    outb(0x40, 1);
    outb(0x40, 0);
    outb(0x70, 0x0b);
    outb(0x71, 0x42);
    cmos_read(0x0c);
    outb(0x21, 0xfa);
    outb(0xa1, 0xfe);
    while (!is_pending(0x20) || !is_pending(0xa0)) {
        pause();
    }
    asm volatile("sti");
    while (!timer_came || !clock_came) {
        pause();
    }
    outb(0x21, 0xff);
    outb(0x70, 0x0b);
    outb(0x71, 0x02);
    apic_write(APIC_LINT0, 0x10700);
}

/*
 * Two at once, with automatic end of interrupt: the 8259's output stays high
 * after the first was taken.
 */
void test_extint_pair(void)
{
    on_interrupt(TIMER_VECTOR, count_timer);
    on_interrupt(CLOCK_VECTOR, count_clock);
    run_on(1, take_two);
    join(1);
    say("tiny: two interrupts of the 8259 at once are both heard\n");
}

static void go_long(void)
{
    in_long_mode(count_64);
}

void test_long_mode(void)
{
    run_on(1, go_long);
    go_long();
    join(1);
    if (long_counter[0] != 2 * ROUNDS || long_counter[1] != 2 * ROUNDS) {
        fail("locked additions of 64 bits are lost");
    }
    say("tiny: 64 bits are right\n");
}
