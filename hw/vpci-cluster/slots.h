/*
 * distkvm: a node's own slots
 *
 * Only the owner plugs into its slots, so a conflict is found here, at once,
 * and a device_add can fail synchronously.  Node 0 and the guest answer later,
 * by messages.  Messages of the two sides cross: a function may be gone here
 * when the guest's answer arrives.  One table says for every state and event
 * the next state, that the event is refused, that it has crossed another, or
 * that no honest peer sends it.
 *
 * A slot's generation counts the times that it was filled.  Every message about
 * a slot carries the generation, so that none is taken for the slot's next
 * device.
 *
 * Pure.  Slots belong to the BQL's holder at the owner.
 * Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_SLOTS_H
#define VPCI_SLOTS_H

#include "vpci.h"

typedef enum VpciSlotState {
    VPCI_SLOT_EMPTY,
    VPCI_SLOT_PLUGGING,     /* described, in part or whole; no answer yet   */
    VPCI_SLOT_OCCUPIED,     /* node 0 has stand-ins: the guest may use it   */
    VPCI_SLOT_EJECTING,     /* the guest was asked to let go of it          */
    VPCI_SLOT_GONE,         /* not to be used, but a map may still name it  */
    VPCI_SLOT__MAX
} VpciSlotState;

typedef enum VpciSlotEvent {
    /* This node's. */
    VPCI_SLOT_PLUG,         /* vpci_slots_plug()                            */
    VPCI_SLOT_UNPLUG,       /* device_del                                   */
    VPCI_SLOT_REMOVE,       /* the device is gone, without asking the guest */
    /*
     * Node 0's messages.  It accepts when all functions are there: with
     * function 0 if the guest may run, else when the owner has described all.
     */
    VPCI_SLOT_ACCEPT,       /* the stand-ins are there                      */
    VPCI_SLOT_REJECT,       /* node 0 could not make them                   */
    VPCI_SLOT_KEEP,         /* the guest does not let go of it              */
    VPCI_SLOT_EJECT,        /* the guest has let go, asked or not           */
    VPCI_SLOT_RELEASE,      /* no stand-in, and no map names a BAR          */
    VPCI_SLOT_EVENT__MAX
} VpciSlotEvent;

typedef enum VpciSlotResult {
    VPCI_SLOT_OK,           /* the state is the next one                    */
    VPCI_SLOT_REFUSED,      /* this node's event can't be now; nothing done */
    VPCI_SLOT_CROSSED,      /* node 0's message came late; nothing done     */
    VPCI_SLOT_BROKEN,       /* no honest node 0 sends it; nothing done      */
} VpciSlotResult;

typedef struct VpciSlot {
    uint8_t state;          /* VpciSlotState                                */
    uint8_t functions;      /* that are there, a bit for each               */
    bool multifunction;     /* of function 0, if it is there                */
    bool cold;              /* node 0 takes its functions as of the start   */
    uint64_t generation;    /* 0: never filled                              */
    uint64_t emptied;       /* counts slots that became empty; 0: never     */
} VpciSlot;

typedef struct VpciSlots {
    unsigned n;             /* 0 to VPCI_SLOTS_MAX                          */
    uint64_t emptied;       /* times that one of them became empty          */
    VpciSlot slot[VPCI_SLOTS_MAX + 1];  /* from 1                           */
} VpciSlots;

/* @n empty slots. */
void vpci_slots_init(VpciSlots *slots, unsigned n);

/*
 * Plug a function at @devfn.  NULL, or the reason: it goes on after "slot N ".
 * @hot: the guest may run.  Then function 0 comes last, because the guest looks
 * at the slot when it comes.
 */
const char *vpci_slots_plug(VpciSlots *slots, uint8_t devfn,
                            bool multifunction, bool hot);
/*
 * The slot that has been empty for longest, and is in @usable, a bit for each
 * slot, as the devfn of its function 0; -1: there is none.  Of slots that were
 * never filled it is the lowest.  QEMU frees the names of a device's memory a
 * moment after the device.
 */
int vpci_slots_find(const VpciSlots *slots, uint32_t usable);
/*
 * Another event than VPCI_SLOT_PLUG, of slot @slot in @generation.  Only if the
 * result isn't VPCI_SLOT_OK is *@why set, as above.
 */
VpciSlotResult vpci_slots_event(VpciSlots *slots, unsigned slot,
                                uint64_t generation, VpciSlotEvent event,
                                const char **why);
/*
 * Node 0 wants something of the function at @devfn in @generation.
 * VPCI_SLOT_OK: it is there.  VPCI_SLOT_CROSSED: it was, or it is gone.
 */
VpciSlotResult vpci_slots_reach(const VpciSlots *slots, uint8_t devfn,
                                uint64_t generation);

/* ----------------------------------- the table, for the test of mutants */

typedef struct VpciSlotCell {
    uint8_t result;         /* VpciSlotResult                               */
    uint8_t next;           /* VpciSlotState, of VPCI_SLOT_OK               */
    const char *why;        /* of the other results                         */
} VpciSlotCell;

extern VPCI_TABLE_CONST VpciSlotCell
vpci_slot_table[VPCI_SLOT__MAX][VPCI_SLOT_EVENT__MAX];

#endif
