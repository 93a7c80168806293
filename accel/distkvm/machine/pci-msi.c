/*
 * distkvm: MSIs of followers' PCI functions by way of node 0
 *
 * Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/dispatch.h"
#include "irq.h"
#include "pci-msi.h"

void distkvm_pci_msi(uint8_t devfn, uint64_t generation, uint32_t addr,
                     uint32_t data)
{
    WireFrame frame = {
        .type = WIRE_PCI_MSI,
        .epoch = distkvm->irq_epoch,
        .pci_msi = {
            .generation = generation, .addr = addr, .data = data,
            .devfn = devfn,
        },
    };

    if (node_is_formed()) {
        irq_post(0, &frame);
    }
}

static const char *check(const WireFrame *frame)
{
    return frame->pci_msi.addr - VPCI_MSI_ADDR < VPCI_MSI_BYTES
           ? NULL : "a malformed message of a PCI function";
}

static const char *serve(const WireFrame *frame)
{
    const WirePciMsi *msi = &frame->pci_msi;

    if (irq_is_stale(frame)) {
        return NULL;
    }
    return vpci_msi(frame->from, msi->devfn, msi->generation, msi->addr,
                    msi->data)
           ? NULL : "an interrupt of a PCI function that it has not";
}

void pci_msi_init(void)
{
    static const FrameService service = {
        "PCI message", FRAME_BQL, check, serve,
    };

    dispatch_register(WIRE_PCI_MSI, &service);
}
