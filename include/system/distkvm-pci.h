/*
 * distkvm: PCI devices of all nodes in one tree
 *
 * Between hw/vpci-cluster, which has the devices, and accel/distkvm, which has
 * the network.  A function of a node is named by its slot and its number there,
 * as QEMU's devfn has them.  BQL held everywhere.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SYSTEM_DISTKVM_PCI_H
#define SYSTEM_DISTKVM_PCI_H

#include "exec/memory.h"
#include "hw/qdev-core.h"

/* An access of the guest to configuration space. */
typedef struct VpciAccess {
    unsigned addr;          /* of the first byte                            */
    unsigned size;          /* 1, 2 or 4 bytes                              */
    bool write;
    uint32_t data;          /* written, or read                             */
} VpciAccess;

/* Bytes of a ROM that travel at once. */
#define VPCI_ROM_CHUNK (256u << 10)

/* ------------------------------------- of accel/distkvm: reach the peers */

/* Owner: the interrupt line of the function at @devfn has @level now. */
void distkvm_pci_line(uint8_t devfn, bool level);
/*
 * Node 0: have @node perform @access to the function at @devfn.  A vCPU waits
 * for it, with the BQL dropped; vpci_changed() has been called when it returns.
 * An access that is served for another node goes on without it, and is answered
 * when @node has answered; @access->data is 0 then.  False: no answer will
 * come, or this thread may not wait.
 */
bool distkvm_pci_config(unsigned node, uint8_t devfn, VpciAccess *access);
/*
 * Node 0: the region whose accesses @node performs, at the address that they
 * have in it.
 */
MemoryRegion *distkvm_pci_forwarder(unsigned node, bool ports);
/* Node 0: the slot of that function of @node is reset.  Never waits. */
void distkvm_pci_reset(unsigned node, uint8_t devfn);

/* ------------------------------- of hw/vpci-cluster: the owner's devices */

/*
 * This is follower @node: its PCI devices get a bus of their own.  Main thread,
 * before the board is made.
 */
void vpci_own(unsigned node);
/* Does the guest see @dev by a stand-in, or a device that it is part of? */
bool vpci_owns(DeviceState *dev);
/* Where all BARs are; NULL if there is no bus. */
MemoryRegion *vpci_own_space(bool ports);

/* Calls by which an owner tells node 0 of its functions, in bytes. */
typedef struct VpciTell {
    void (*function)(const uint8_t *bytes, size_t len);
    /* A part of the ROM of a function that was told of. */
    void (*rom)(uint8_t devfn, uint32_t at, const uint8_t *bytes, size_t len);
    /* That was all; this node has @slots slots. */
    void (*end)(unsigned slots);
} VpciTell;

/* All devices of the start are there: tell of them.  Main thread. */
void vpci_describe(const VpciTell *tell);
/*
 * Perform @access, and return a list of the bytes of configuration space that
 * have changed (config-copy.h).  NULL: there is no such function.
 */
GByteArray *vpci_serve_config(uint8_t devfn, VpciAccess *access);
void vpci_serve_reset(uint8_t devfn);

/* ------------------------------------ of hw/vpci-cluster: the stand-ins */

/*
 * Node 0: calls of @node as of VpciTell.  Main thread, before the guest runs.
 * NULL, or the fault in it, which goes on after "it sent ".
 */
const char *vpci_hear_function(unsigned node, const uint8_t *bytes,
                               size_t len);
const char *vpci_hear_rom(unsigned node, uint8_t devfn, uint32_t at,
                          const uint8_t *bytes, size_t len);
const char *vpci_hear_end(unsigned node, unsigned slots);
/* Another process may take the place of @node, and tell of its own. */
void vpci_forget(unsigned node);
/*
 * All of @nodes nodes have been heard: make bridges and stand-ins.  False and
 * @errp if the machine has no room for them: then there are none.
 */
bool vpci_build(unsigned nodes, Error **errp);
/*
 * Apply @changes, which @node has sent.  NULL, or the fault in them, as above.
 */
const char *vpci_changed(unsigned node, uint8_t devfn, const uint8_t *changes,
                         size_t len);
/* False: @node has no such function. */
bool vpci_line(unsigned node, uint8_t devfn, bool level);

#endif
