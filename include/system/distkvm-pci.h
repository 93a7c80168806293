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
    const MemTxAttrs *attrs;    /* node 0, in memory; NULL: by ports        */
} VpciAccess;

/* Where a write is a message to local APICs, and no access to memory. */
#define VPCI_MSI_ADDR 0xfee00000u
#define VPCI_MSI_BYTES (1u << 20)

/* Bytes of a ROM that travel at once. */
#define VPCI_ROM_CHUNK (256u << 10)

/*
 * News of the device in a slot, from node 0 for its owner.  A slot's generation
 * counts the devices that it has had, from 1: hw/vpci-cluster/slots.h.
 */
typedef enum VpciNews {
    VPCI_ACCEPTED,          /* the guest may use it                         */
    VPCI_REJECTED,          /* node 0 does not show it                      */
    VPCI_KEPT,              /* the guest does not let go of it              */
    VPCI_EJECTED,           /* the guest has let go of it                   */
    VPCI_RELEASED,          /* no node's memory map has it any more         */
    VPCI_NEWS__MAX
} VpciNews;

/* ------------------------------------- of accel/distkvm: reach the peers */

/* Owner: the interrupt line of the function at @devfn has @level now. */
void distkvm_pci_line(uint8_t devfn, uint64_t generation, bool level);
/*
 * Owner: the function at @devfn writes @data to @addr, from VPCI_MSI_ADDR on,
 * and node 0 finds the target of this MSI.
 */
void distkvm_pci_msi(uint8_t devfn, uint64_t generation, uint32_t addr,
                     uint32_t data);
/*
 * Owner: may devices come and go now?  Not before all nodes have joined, nor
 * after a loss: false, and @errp.
 */
bool distkvm_pci_may_plug(Error **errp);
/* Owner: tell management that node 0 does not show @dev, and why. */
void distkvm_pci_rejected(const DeviceState *dev, const char *why);
/*
 * Node 0: have @node perform @access to the function at @devfn.  A vCPU waits
 * for it, with the BQL dropped; vpci_changed() has been called when it returns.
 * An access that is served for another node goes on without it, and is answered
 * when @node has answered; @access->data is 0 then.  All bits of it are set if
 * a node is lost.  False: this thread may not wait, or a device does DMA.
 */
bool distkvm_pci_config(unsigned node, uint8_t devfn, uint64_t generation,
                        VpciAccess *access);
/*
 * Node 0: the region whose accesses @node performs, at the address that they
 * have in it.
 */
MemoryRegion *distkvm_pci_forwarder(unsigned node, bool ports);
/* Node 0: the slot of that function of @node is reset.  Never waits. */
void distkvm_pci_reset(unsigned node, uint8_t devfn, uint64_t generation);
/* Node 0: tell @node the news of its @slot; @why may be NULL. */
void distkvm_pci_news(unsigned node, unsigned slot, uint64_t generation,
                      VpciNews news, const char *why);
/*
 * Node 0: log that no stand-in of a device of @node can be.  An owner may plug
 * devices without end, so few lines are written in a second.
 */
void distkvm_pci_say_rejected(unsigned node, const char *why);
/*
 * Node 0: @slot of @node takes no devices until it is opened, which is in @ms
 * milliseconds of guest time, or before, unless this is called again.
 */
void distkvm_pci_slot_closed(unsigned node, unsigned slot, int64_t ms);
/* Node 0: it does again: call vpci_hear_rest(@node).  Main thread. */
void distkvm_pci_slot_opened(unsigned node, unsigned slot);
/*
 * Node 0: call @fn(@opaque) in the main loop when all nodes have acknowledged
 * the memory map as it is when the caller has dropped the BQL.  Any thread.
 */
void distkvm_pci_when_mapped(void (*fn)(void *opaque), void *opaque);

/* ------------------------------- of hw/vpci-cluster: the owner's devices */

/*
 * This is follower @node: its PCI devices get a bus of their own.  Main thread,
 * before the board is made.
 */
void vpci_own(unsigned node);
/* Does the guest see @dev by a stand-in, or a device that it is part of? */
bool vpci_owns(DeviceState *dev);
/*
 * A device sends an MSI to @addr, which the guest chooses among all 64 bits.
 * True: it goes by way of node 0, where an IOMMU remaps it, or nowhere, if the
 * guest does not see the device.
 */
bool vpci_sends_msi(PCIDevice *dev, uint64_t addr, uint32_t data);
/* Where all BARs are; NULL if there is no bus. */
MemoryRegion *vpci_own_space(bool ports);

/* Calls by which an owner speaks to node 0. */
typedef struct VpciTell {
    /* A function as bytes (function.h): of the start, or plugged since. */
    void (*function)(const uint8_t *bytes, size_t len);
    /* A part of the ROM of a function that was told of. */
    void (*rom)(uint8_t devfn, uint32_t at, const uint8_t *bytes, size_t len);
    /*
     * That was all; this node has @slots slots.  Devices come and go while the
     * guest runs in those of @hotplug, a bit for each.
     */
    void (*end)(unsigned slots, uint32_t hotplug);
    /*
     * The guest is to let go of the device in @slot; or @pulled: it is gone.
     */
    void (*unplug)(unsigned slot, uint64_t generation, bool pulled);
} VpciTell;

/*
 * All devices of the start are there: tell of them, and of all that come and go
 * from now on.  @tell is static.  Main thread.
 */
void vpci_describe(const VpciTell *tell);
/*
 * Perform @access, and return a list of the bytes of configuration space that
 * have changed (config-copy.h).  NULL: there never was such a function.  Of one
 * that has gone reads give ones.
 */
GByteArray *vpci_serve_config(uint8_t devfn, uint64_t generation,
                              VpciAccess *access);
/* NULL: there is no such function, or no more. */
Object *vpci_function(uint8_t devfn, uint64_t generation);
/* False: there never was such a function. */
bool vpci_serve_reset(uint8_t devfn, uint64_t generation);
/*
 * News of node 0; @why may be NULL.  NULL, or the fault in it, which goes on
 * after "it sent ".  Main thread.
 */
const char *vpci_hear_news(unsigned slot, uint64_t generation, VpciNews news,
                           const char *why);

/* ------------------------------------ of hw/vpci-cluster: the stand-ins */

/*
 * Node 0: calls of @node as of VpciTell.  Main thread.  @late: not of the
 * start.  NULL, or the fault in it, which goes on after "it sent ".
 */
const char *vpci_hear_function(unsigned node, bool late, const uint8_t *bytes,
                               size_t len);
const char *vpci_hear_rom(unsigned node, uint8_t devfn, uint32_t at,
                          const uint8_t *bytes, size_t len);
const char *vpci_hear_end(unsigned node, unsigned slots, uint32_t hotplug);
const char *vpci_hear_unplug(unsigned node, unsigned slot,
                             uint64_t generation, bool pulled);
/* Another process may take the place of @node, and tell of its own. */
void vpci_forget(unsigned node);
/*
 * All of @nodes nodes have been heard: make bridges and stand-ins.  False and
 * @errp if the machine has no room for them, or QEMU refuses one: those made
 * before it stay, and the guest must not run.
 */
bool vpci_build(unsigned nodes, Error **errp);
/*
 * Then, and when a slot takes devices again: take up what @node has told of
 * meanwhile.  As vpci_hear_function().
 */
const char *vpci_hear_rest(unsigned node);
/*
 * Node 0 is about to reset all devices, while no CPU executes: slots that are
 * closed open, so that firmware finds the next device there.  Other nodes have
 * no such slots.  Main thread.
 */
void vpci_before_reset(void);
/*
 * @node is lost: its functions have no addresses any more, reads of them give
 * ones, and all other nodes are told the map.  Never waits.
 */
void vpci_lost(unsigned node);
/*
 * Apply @changes, which @node has sent.  NULL, or the fault in them, as above.
 */
const char *vpci_changed(unsigned node, uint8_t devfn, uint64_t generation,
                         const uint8_t *changes, size_t len);
/* False: @node never had such a function, or it has no line. */
bool vpci_line(unsigned node, uint8_t devfn, uint64_t generation, bool level);
/* False: @node never had such a function. */
bool vpci_msi(unsigned node, uint8_t devfn, uint64_t generation, uint32_t addr,
              uint32_t data);

#endif
