/*
 * tiny guest: a device interrupts a CPU whose APIC id has nine bits
 *
 * Only an interrupt that is remapped can name such a CPU.  QEMU's "edu" on node
 * 1 sends a message, and node 0's IOMMU finds its target in a table.  CPU 0
 * changes that table, and then the last CPU does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define LAST_ID 256
#define ROUNDS 100
#define VECTOR 0x51

#define IOMMU 0xfed90000u
#define IOMMU_COMMAND 0x18
#define IOMMU_STATUS 0x1c
#define IOMMU_TABLE 0xb8
#define IOMMU_SET_TABLE (1u << 24)
#define IOMMU_REMAP (1u << 25)
/* Ids of 32 bits; the table has two entries. */
#define TABLE_WIDE_IDS (1u << 11)
#define ENTRY_PRESENT 1

#define PCI_COMMAND 4
#define PCI_COMMAND_ALL 6
#define EDU_MSI 0x40
#define MSI_ENABLE (1u << 16)
/* The table's first entry, in the format that is remapped. */
#define MSI_TO_ENTRY_0 0xfee00010u
#define EDU_RAISE 0x60
#define EDU_ACK 0x64

/* volatile: the IOMMU reads it */
static volatile uint32_t table[1024] __attribute__((aligned(4096)));
/* volatile: other CPUs and interrupts change them */
static volatile uint32_t came, came_to;
static uint32_t edu;

/* volatile: a device */
static volatile uint32_t *reg(uint32_t addr)
{
    /* volatile: a device */
    return (volatile uint32_t *)addr;
}

static void arrived(void)
{
    came_to = apic_id();
    came++;
    apic_write(APIC_EOI, 0);
}

static void remap(void)
{
    *reg(IOMMU + IOMMU_TABLE) = (uint32_t)table | TABLE_WIDE_IDS;
    *reg(IOMMU + IOMMU_TABLE + 4) = 0;
    *reg(IOMMU + IOMMU_COMMAND) = IOMMU_SET_TABLE;
    while (!(*reg(IOMMU + IOMMU_STATUS) & IOMMU_SET_TABLE)) {
        pause();
    }
    *reg(IOMMU + IOMMU_COMMAND) = IOMMU_REMAP;
    while (!(*reg(IOMMU + IOMMU_STATUS) & IOMMU_REMAP)) {
        pause();
    }
}

static void set_up_edu(void)
{
    uint32_t function = pci_find(0, ~0u, EDU_ID);

    if (!function) {
        fail("there is no device to interrupt");
    }
    edu = pci_read(function, PCI_BAR0) & ~0xfu;
    pci_write(function, PCI_COMMAND, PCI_COMMAND_ALL);
    pci_write(function, EDU_MSI + 4, MSI_TO_ENTRY_0);
    pci_write(function, EDU_MSI + 8, 0);
    pci_write(function, EDU_MSI + 12, 0);
    pci_write(function, EDU_MSI, MSI_ENABLE);
}

/* QEMU's IOMMU keeps no entry, so nothing is to be forgotten. */
static void aim(uint32_t id)
{
    table[1] = id;
    table[0] = VECTOR << 16 | ENTRY_PRESENT;
}

static void raise(void)
{
    uint32_t before = came;

    *reg(edu + EDU_RAISE) = 1;
    for (uint32_t i = 0; came == before; i++) {
        if (i == WAIT_ROUNDS) {
            fail("a device's interrupt does not come");
        }
        pause();
    }
    *reg(edu + EDU_ACK) = 1;
}

static void raise_at(uint32_t id)
{
    aim(id);
    raise();
    if (came_to != id) {
        fail("a device's interrupt comes to another CPU");
    }
}

static void raise_all(void)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        raise_at(LAST_ID);
        raise_at(0);
    }
}

void interrupt_last(void)
{
    on_interrupt(VECTOR, arrived);
    start_last(LAST_ID);
    asm volatile("sti");
    remap();
    set_up_edu();
    raise_all();
    run_on(LAST_CPU, raise_all);
    join(LAST_CPU);
    if (came != 4 * ROUNDS) {
        fail("a device's interrupt comes twice");
    }
    say("tiny: CPU 256 is interrupted, and no other\n");
    power_off();
}
