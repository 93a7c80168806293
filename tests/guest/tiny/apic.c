/*
 * tiny guest: the local APIC, in x2APIC mode where CPUID offers that
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define CPUID_X2APIC (1u << 21)
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLED (1u << 11)
#define MSR_X2APIC 0x800
#define APIC_ENABLED 0x1ff

static bool has_x2apic, has_many;

static uint64_t msr_read(uint32_t index)
{
    uint64_t value;

    asm volatile("rdmsr" : "=A"(value) : "c"(index));
    return value;
}

static void msr_write(uint32_t index, uint64_t value)
{
    asm volatile("wrmsr" : : "A"(value), "c"(index) : "memory");
}

void apic_find(void)
{
    uint32_t a = 1, b, c, d;

    asm volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    has_x2apic = c & CPUID_X2APIC;
    if (has_x2apic) {
        say("tiny: x2APIC mode\n");
    }
}

static void expect_id(uint32_t id)
{
    if (id >= CPUS_MAX || (id == 0) != !ap_count) {
        fail("the APIC's mode is not what it was set to");
    }
}

void apic_start(void)
{
    if (has_many) {
        msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    } else if (has_x2apic) {
        uint64_t on = msr_read(MSR_APIC_BASE);
        uint64_t off = on & ~(uint64_t)APIC_BASE_ENABLED;

        msr_write(MSR_APIC_BASE, on | APIC_BASE_X2APIC);
        msr_read(MSR_X2APIC + APIC_ID / 16);
        /* Out of it and into it again, as fast as one can. */
        msr_write(MSR_APIC_BASE, off);
        msr_write(MSR_APIC_BASE, on);
        /* volatile: a device */
        expect_id(*(volatile uint32_t *)(APIC_BASE + APIC_ID) >> 24);
        msr_write(MSR_APIC_BASE, off);
        msr_write(MSR_APIC_BASE, on);
        msr_write(MSR_APIC_BASE, on | APIC_BASE_X2APIC);
        expect_id(msr_read(MSR_X2APIC + APIC_ID / 16));
    }
    apic_write(APIC_SPURIOUS, APIC_ENABLED);
}

void apic_start_many(void)
{
    if (!has_x2apic) {
        fail("there is no x2APIC");
    }
    has_many = true;
    apic_start();
}

uint32_t apic_read(uint32_t reg)
{
    if (has_x2apic) {
        return msr_read(MSR_X2APIC + reg / 16);
    }
    /* volatile: a device */
    return *(volatile uint32_t *)(APIC_BASE + reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
    if (has_x2apic) {
        msr_write(MSR_X2APIC + reg / 16, value);
    } else {
        /* volatile: a device */
        *(volatile uint32_t *)(APIC_BASE + reg) = value;
    }
}

uint32_t apic_id(void)
{
    return has_x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void ipi(uint32_t to, uint32_t command)
{
    if (has_x2apic) {
        /* Unlike memory, an MSR may be written before what was written first. */
        asm volatile("lock addl $0, (%%esp)" : : : "memory");
        msr_write(MSR_X2APIC + APIC_ICR_LOW / 16, (uint64_t)to << 32 | command);
        return;
    }
    while (apic_read(APIC_ICR_LOW) & 0x1000) {
        pause();
    }
    apic_write(APIC_ICR_HIGH, to << 24);
    apic_write(APIC_ICR_LOW, command);
}
