/*
 * tiny guest: console, interrupts, other CPUs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define AP_START 0x8000
#define COM1 0x3f8
#define ACPI_PM1_CONTROL 0x604
#define SLEEP_ENABLE 0x2000

typedef struct Gate {
    uint16_t low, selector, type, high;
} Gate;

typedef struct __attribute__((packed)) Pointer {
    uint16_t limit;
    uint32_t base;
} Pointer;

static Gate idt[256];
static void (*handler[256])(void);
/* Task of a CPU; NULL when it has done it; volatile: it is another's. */
static void (*volatile work[CPUS_MAX])(void);

void say(const char *text)
{
    while (*text) {
        outb(COM1, *text++);
    }
}

void say_number(uint32_t number)
{
    if (number > 9) {
        say_number(number / 10);
    }
    outb(COM1, '0' + number % 10);
}

void power_off(void)
{
    outw(ACPI_PM1_CONTROL, SLEEP_ENABLE);
    for (;;) {
        asm volatile("cli; hlt");
    }
}

void fail(const char *why)
{
    say("tiny: FAILED: ");
    say(why);
    say("\n");
    power_off();
}

void tiny_interrupt(uint32_t vector, uint32_t first, uint32_t second)
{
    if (!handler[vector]) {
        say("tiny: vector ");
        say_number(vector);
        say(" at ");
        say_number(first);
        say(" or ");
        say_number(second);
        say("\n");
        fail("an unexpected interrupt");
    }
    handler[vector]();
}

void on_interrupt(int vector, void (*fn)(void))
{
    handler[vector] = fn;
}

static void load_idt(void)
{
    Pointer pointer = { sizeof(idt) - 1, (uint32_t)idt };

    asm volatile("lidt %0" : : "m"(pointer));
}

static void make_idt(void)
{
    for (int i = 0; i < 256; i++) {
        uint32_t entry = (uint32_t)vectors + 8 * i;

        idt[i] = (Gate) { entry, 8, 0x8e00, entry >> 16 };
    }
}

uint32_t cpus(void)
{
    return ap_count + 1;
}

void run_on(uint32_t cpu, void (*fn)(void))
{
    work[cpu] = fn;
}

void join(uint32_t cpu)
{
    for (uint32_t i = 0; work[cpu]; i++) {
        if (i == WAIT_ROUNDS) {
            fail("a CPU does not finish its work");
        }
        pause();
    }
}

void tiny_ap_main(uint32_t cpu)
{
    load_idt();
    apic_start();
    asm volatile("sti");
    for (;;) {
        if (work[cpu]) {
            work[cpu]();
            work[cpu] = 0;
        }
        pause();
    }
}

void init_8259(bool auto_eoi)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, auto_eoi ? 3 : 1);
    outb(0x21, 0xff);
    outb(0xa0, 0x11);
    outb(0xa1, 0x28);
    outb(0xa1, 2);
    outb(0xa1, auto_eoi ? 3 : 1);
    outb(0xa1, 0xff);
}

static void copy_ap_start(void)
{
    /* volatile: not a memcpy(), there is none */
    volatile char *to = (char *)AP_START;

    for (const char *from = ap_start; from < ap_start_end; ) {
        *to++ = *from++;
    }
}

/* INIT, then SIPI; @which: 0xc0000 if these are all but this one. */
static void start(uint32_t id, uint32_t which)
{
    copy_ap_start();
    ipi(id, which | 0x4500);
    ipi(id, which | 0x4600 | AP_START >> 12);
    for (uint32_t i = 0; !ap_count; i++) {
        if (i == WAIT_ROUNDS) {
            fail("no other CPU has started");
        }
        pause();
    }
}

void start_last(uint32_t id)
{
    apic_start_many();
    start(id, 0);
}

/* Multiboot: bit 2 of the flags, and the fifth word. */
static bool is_asked_to(const uint32_t *multiboot, const char *what)
{
    const char *line = (const char *)multiboot[4];

    if (!(multiboot[0] & 4)) {
        return false;
    }
    /* QEMU puts the kernel's name before the options. */
    for (; *line; line++) {
        int i = 0;

        while (what[i] && line[i] == what[i]) {
            i++;
        }
        if (!what[i] && !line[i]) {
            return true;
        }
    }
    return false;
}

/* An 8259 whose request has gone says 7, and wants no answer. */
static void ignore(void)
{
}

void tiny_main(const uint32_t *multiboot)
{
    make_idt();
    load_idt();
    init_8259(false);
    on_interrupt(0x27, ignore);
    on_interrupt(0x2f, ignore);
    apic_find();
    if (is_asked_to(multiboot, " many")) {
        interrupt_last();
    }
    apic_start();
    start(0, 0xc0000);
    asm volatile("sti");
    if (is_asked_to(multiboot, " count")) {
        count_for_ever();
    }
    if (is_asked_to(multiboot, " io")) {
        time_io();
    }
    if (is_asked_to(multiboot, " bars")) {
        move_bars();
    }
    test_counters();
    test_ipi();
    test_extint();
    test_extint_pair();
    test_code();
    test_tables();
    test_device();
    test_long_mode();
    say("tiny: passed\n");
    power_off();
}
