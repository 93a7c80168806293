/*
 * tiny guest: configuration of PCI functions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tiny.h"

#define BUSES 256
#define SLOTS 32

uint32_t in32(uint16_t port)
{
    uint32_t value;

    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

void out32(uint16_t port, uint32_t value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

uint32_t pci_read(uint32_t function, uint32_t offset)
{
    out32(PCI_ADDRESS, PCI_ENABLE | function | offset);
    return in32(PCI_DATA);
}

void pci_write(uint32_t function, uint32_t offset, uint32_t value)
{
    out32(PCI_ADDRESS, PCI_ENABLE | function | offset);
    out32(PCI_DATA, value);
}

uint32_t pci_find(uint32_t offset, uint32_t mask, uint32_t value)
{
    for (uint32_t n = 0; n < BUSES * SLOTS; n++) {
        uint32_t function = n << 11;

        if (pci_read(function, 0) != ~0u &&
            (pci_read(function, offset) & mask) == value) {
            return function;
        }
    }
    return 0;
}
