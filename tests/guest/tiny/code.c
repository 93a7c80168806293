/*
 * tiny guest: code that changes, tables that change, devices elsewhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define ROUNDS 200
#define IOAPIC 0xfec00000u
#define IOAPIC_VERSION 1
/* The low half of the entry of input 5, which nothing uses. */
#define IOAPIC_ENTRY 0x1a
#define MASKED 0x10000

/* volatile: other CPUs change it */
volatile uint32_t turn, got;

/* ----------------------------------------------- code that changes */

static uint8_t code[4096] __attribute__((aligned(4096)));

/* mov $value, %eax; ret */
static void write_code(uint32_t value)
{
    /* volatile: it is executed, perhaps by another CPU */
    volatile uint8_t *to = code;

    to[0] = 0xb8;
    for (int i = 0; i < 4; i++) {
        to[1 + i] = value >> (8 * i);
    }
    to[5] = 0xc3;
}

static uint32_t run_code(void)
{
    uint32_t (*fn)(void) = (uint32_t (*)(void))code;
    uint32_t zero = 0;

    /* A CPU has to do so before it executes code that another one changed. */
    asm volatile("cpuid" : "+a"(zero) : : "ebx", "ecx", "edx", "memory");
    return fn();
}

static void run_changed_code(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        while (turn != i) {
            pause();
        }
        got = run_code();
        /* Its own change, and the other CPU will make the next one. */
        write_code(~i);
        if (run_code() != ~i) {
            fail("a CPU executes the code that it has replaced");
        }
        turn = 0;
    }
}

void test_code(void)
{
    run_on(1, run_changed_code);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        write_code(i);
        turn = i;
        while (turn) {
            pause();
        }
        if (got != i) {
            fail("a CPU executes the code that another has replaced");
        }
    }
    join(1);
    say("tiny: changed code is right\n");
}

/* --------------------------------------------- tables that change */

#define USABLE 0x63

static uint32_t marked[2][1024] __attribute__((aligned(4096)));

static void look_through_window(void)
{
    in_long_mode(look_64);
}

/* The other node changes the page tables that this one walks. */
void test_tables(void)
{
    marked[0][0] = 0x1111;
    marked[1][0] = 0x2222;
    run_on(1, look_through_window);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        window[0] = (uint32_t)marked[i & 1] | USABLE;
        turn = i;
        while (turn) {
            pause();
        }
        if (got != marked[i & 1][0]) {
            fail("a CPU translates by a table entry that was replaced");
        }
    }
    join(1);
    say("tiny: changed page tables are right\n");
}

/* --------------------------------------------- devices elsewhere */

/* volatile: a device; which register, and its value */
static volatile uint32_t *const ioapic = (volatile uint32_t *)IOAPIC;

static uint32_t ioapic_read(uint32_t reg)
{
    ioapic[0] = reg;
    return ioapic[4];
}

static void ioapic_write(uint32_t reg, uint32_t value)
{
    ioapic[0] = reg;
    ioapic[4] = value;
}

static void use_ioapic(void)
{
    got = ioapic_read(IOAPIC_VERSION);
    ioapic_write(IOAPIC_ENTRY, MASKED | 0x55);
}

void test_device(void)
{
    run_on(1, use_ioapic);
    join(1);
    if (got != ioapic_read(IOAPIC_VERSION) ||
        ioapic_read(IOAPIC_ENTRY) != (MASKED | 0x55)) {
        fail("a device of another node is not what it should be");
    }
    say("tiny: a device of another node is right\n");
}
