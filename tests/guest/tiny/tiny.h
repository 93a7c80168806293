/*
 * tiny guest: what its tests use
 *
 * A multiboot kernel of a few pages: integer instructions only, no paging
 * unless a test turns it on, quick to run also where the host interprets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TINY_H
#define TINY_H

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MAX 8
/* The number of the CPU whose APIC id is 256, if there are so many. */
#define LAST_CPU (CPUS_MAX - 1)
#define WAIT_ROUNDS 2000000000u
#define APIC_BASE 0xfee00000u

enum {
    APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0,
    APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310, APIC_LINT0 = 0x350,
};

static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Registers of this CPU's local APIC: memory, or MSRs if it has x2APIC. */
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
uint32_t apic_id(void);
/* Is there x2APIC?  Then start this CPU's, as all others do. */
void apic_find(void);
void apic_start(void);
/* x2APIC mode for good, for ids beyond 255: here, and on CPUs to come. */
void apic_start_many(void);
void ipi(uint32_t to, uint32_t command);

/* pci.c: a function is its number as PCI_ADDRESS has it. */
#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE 0x80000000u
#define PCI_BAR0 0x10
/* QEMU's "edu": vendor and device. */
#define EDU_ID 0x11e81234u

uint32_t in32(uint16_t port);
void out32(uint16_t port, uint32_t value);
uint32_t pci_read(uint32_t function, uint32_t offset);
void pci_write(uint32_t function, uint32_t offset, uint32_t value);
/* The first with @value in these bits at @offset, or 0. */
uint32_t pci_find(uint32_t offset, uint32_t mask, uint32_t value);

static inline void pause(void)
{
    asm volatile("pause" : : : "memory");
}

/* boot.S: the code at the start-up IPI's address, and CPUs it has started. */
extern const char ap_start[], ap_start_end[];
extern const char vectors[];
/* volatile: other CPUs change it */
extern volatile uint32_t ap_count;

void say(const char *text);
void say_number(uint32_t number);
void power_off(void);
/* The test has failed: say why and power off. */
void fail(const char *why);

/* Interrupt vector @vector calls @handler on whatever CPU it comes to. */
void on_interrupt(int vector, void (*handler)(void));
/* Both 8259s: vectors from 0x20 and 0x28, all masked. */
void init_8259(bool auto_eoi);
/* Run @work on CPU @cpu (not 0); returns at once. */
void run_on(uint32_t cpu, void (*work)(void));
/* Wait until @cpu has done its work. */
void join(uint32_t cpu);
/* Start the CPU of this APIC id, beyond 255, and no other. */
void start_last(uint32_t id);
/* CPUs that have started, with this one. */
uint32_t cpus(void);

/* io.c: says how long accesses to devices take, and powers off. */
void time_io(void);
/* many.c: a device interrupts a CPU beyond APIC id 255; powers off. */
void interrupt_last(void);
/* bars.c: a device's registers move while all CPUs read them; powers off. */
void move_bars(void);
/* CPU 1 does nothing but count, in a page of its own. */
void count_for_ever(void);
void test_counters(void);
void test_ipi(void);
void test_extint(void);
void test_extint_pair(void);
/* vmi/tcg-code.c */
void test_code(void);
void test_tables(void);
void test_device(void);
/* long.S: call @routine, one of the two below it, in 64 bits. */
void in_long_mode(void (*routine)(void));
/* Add 1 to both halves of long_counter, 500 times. */
void count_64(void);
/* At each @turn, from 1 to 200, say in @got what the window shows. */
void look_64(void);
/* volatile: other CPUs change them, or their processors read them */
extern volatile uint32_t turn, got, long_counter[2], window[2];
void test_long_mode(void);

#endif
