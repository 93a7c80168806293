/*
 * distkvm: a node's own slots
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "slots.h"

#define TO(next_) { .result = VPCI_SLOT_OK, .next = VPCI_SLOT_##next_ }
#define REFUSED(why_) { .result = VPCI_SLOT_REFUSED, .why = why_ }
/* The function went while node 0's message was under way. */
#define CROSSED { .result = VPCI_SLOT_CROSSED, .why = "is gone" }
#define BROKEN(why_) { .result = VPCI_SLOT_BROKEN, .why = why_ }

#define NOTHING "is empty"
#define NO_ANSWER "has not been answered for"
#define NOT_ASKED "was not to be emptied"
#define ANSWERED "has been answered for"
#define IN_USE "is in use"

VPCI_TABLE_CONST VpciSlotCell
vpci_slot_table[VPCI_SLOT__MAX][VPCI_SLOT_EVENT__MAX] = {
    [VPCI_SLOT_EMPTY] = {
        [VPCI_SLOT_PLUG] = TO(PLUGGING),
        [VPCI_SLOT_UNPLUG] = REFUSED(NOTHING),
        [VPCI_SLOT_REMOVE] = REFUSED(NOTHING),
        [VPCI_SLOT_ACCEPT] = BROKEN(NOTHING),
        [VPCI_SLOT_REJECT] = BROKEN(NOTHING),
        [VPCI_SLOT_KEEP] = BROKEN(NOTHING),
        [VPCI_SLOT_EJECT] = BROKEN(NOTHING),
        [VPCI_SLOT_RELEASE] = BROKEN(NOTHING),
    },
    [VPCI_SLOT_PLUGGING] = {
        [VPCI_SLOT_PLUG] = TO(PLUGGING),
        [VPCI_SLOT_UNPLUG] = REFUSED("is being plugged: try again when the "
                                     "guest has it"),
        [VPCI_SLOT_REMOVE] = TO(GONE),
        [VPCI_SLOT_ACCEPT] = TO(OCCUPIED),
        [VPCI_SLOT_REJECT] = TO(GONE),
        [VPCI_SLOT_KEEP] = BROKEN(NO_ANSWER),
        [VPCI_SLOT_EJECT] = BROKEN(NO_ANSWER),
        [VPCI_SLOT_RELEASE] = BROKEN(NO_ANSWER),
    },
    [VPCI_SLOT_OCCUPIED] = {
        [VPCI_SLOT_PLUG] = REFUSED("is occupied"),
        [VPCI_SLOT_UNPLUG] = TO(EJECTING),
        [VPCI_SLOT_REMOVE] = TO(GONE),
        [VPCI_SLOT_ACCEPT] = BROKEN(ANSWERED),
        [VPCI_SLOT_REJECT] = BROKEN(ANSWERED),
        [VPCI_SLOT_KEEP] = BROKEN(NOT_ASKED),
        /* The guest may let go by itself. */
        [VPCI_SLOT_EJECT] = TO(GONE),
        [VPCI_SLOT_RELEASE] = BROKEN(IN_USE),
    },
    [VPCI_SLOT_EJECTING] = {
        [VPCI_SLOT_PLUG] = REFUSED("is being emptied"),
        [VPCI_SLOT_UNPLUG] = REFUSED("is being emptied"),
        [VPCI_SLOT_REMOVE] = TO(GONE),
        [VPCI_SLOT_ACCEPT] = BROKEN(ANSWERED),
        [VPCI_SLOT_REJECT] = BROKEN(ANSWERED),
        [VPCI_SLOT_KEEP] = TO(OCCUPIED),
        [VPCI_SLOT_EJECT] = TO(GONE),
        [VPCI_SLOT_RELEASE] = BROKEN(IN_USE),
    },
    [VPCI_SLOT_GONE] = {
        [VPCI_SLOT_PLUG] = REFUSED("was emptied, but the guest's memory map "
                                   "still has it: try again"),
        [VPCI_SLOT_UNPLUG] = REFUSED("is being emptied"),
        [VPCI_SLOT_REMOVE] = REFUSED("is being emptied"),
        [VPCI_SLOT_ACCEPT] = CROSSED,
        [VPCI_SLOT_REJECT] = CROSSED,
        [VPCI_SLOT_KEEP] = CROSSED,
        [VPCI_SLOT_EJECT] = CROSSED,
        [VPCI_SLOT_RELEASE] = TO(EMPTY),
    },
};

void vpci_slots_init(VpciSlots *slots, unsigned n)
{
    *slots = (VpciSlots) { .n = n };
}

/* Why the functions that are there don't go with one more; NULL: they do. */
static const char *check_functions(const VpciSlot *slot, unsigned function,
                                   bool multifunction, bool hot)
{
    bool has_zero = slot->functions & 1;

    if (slot->functions & 1 << function) {
        return "has that function already";
    }
    if (hot && has_zero) {
        return "has function 0 already, with which the guest looked at it: "
               "plug function 0 last";
    }
    if (hot && slot->cold) {
        return "has functions of the start: name another one with bus=";
    }
    if (function && has_zero && !slot->multifunction) {
        return "has a function 0 without multifunction=on";
    }
    if (!function && slot->functions && !multifunction) {
        return "has more functions: function 0 needs multifunction=on";
    }
    return NULL;
}

const char *vpci_slots_plug(VpciSlots *slots, uint8_t devfn,
                            bool multifunction, bool hot)
{
    unsigned number = VPCI_SLOT(devfn), function = VPCI_FUNCTION(devfn);
    VpciSlot *slot = &slots->slot[number];
    const VpciSlotCell *cell;
    const char *why;

    if (!number || number > slots->n) {
        return "is none of this node's";
    }
    cell = &vpci_slot_table[slot->state][VPCI_SLOT_PLUG];
    if (cell->result != VPCI_SLOT_OK) {
        return cell->why;
    }
    why = check_functions(slot, function, multifunction, hot);
    if (why) {
        return why;
    }
    slot->generation += slot->state == VPCI_SLOT_EMPTY;
    slot->state = cell->next;
    slot->functions |= 1 << function;
    slot->multifunction |= !function && multifunction;
    slot->cold |= !hot;
    return NULL;
}

int vpci_slots_find(const VpciSlots *slots, uint32_t usable)
{
    unsigned found = 0;

    for (unsigned n = 1; n <= slots->n; n++) {
        if (usable >> n & 1 && slots->slot[n].state == VPCI_SLOT_EMPTY &&
            (!found || slots->slot[n].emptied < slots->slot[found].emptied)) {
            found = n;
        }
    }
    return found ? (int)VPCI_DEVFN(found, 0) : -1;
}

static bool is_own(VpciSlotEvent event)
{
    return event < VPCI_SLOT_ACCEPT;
}

VpciSlotResult vpci_slots_event(VpciSlots *slots, unsigned number,
                                uint64_t generation, VpciSlotEvent event,
                                const char **why)
{
    const VpciSlotCell *cell;
    VpciSlot *slot;

    if (!number || number > slots->n ||
        slots->slot[number].generation != generation) {
        *why = "does not have that device";
        return is_own(event) ? VPCI_SLOT_REFUSED : VPCI_SLOT_BROKEN;
    }
    slot = &slots->slot[number];
    cell = &vpci_slot_table[slot->state][event];
    if (cell->result != VPCI_SLOT_OK) {
        *why = cell->why;
        return cell->result;
    }
    slot->state = cell->next;
    if (slot->state == VPCI_SLOT_EMPTY) {
        slot->functions = 0;
        slot->multifunction = false;
        slot->cold = false;
        slot->emptied = ++slots->emptied;
    }
    return VPCI_SLOT_OK;
}

VpciSlotResult vpci_slots_reach(const VpciSlots *slots, uint8_t devfn,
                                uint64_t generation)
{
    const VpciSlot *slot = &slots->slot[VPCI_SLOT(devfn)];

    if (!VPCI_SLOT(devfn) || VPCI_SLOT(devfn) > slots->n || !generation ||
        generation > slot->generation) {
        return VPCI_SLOT_BROKEN;
    }
    if (generation < slot->generation || slot->state == VPCI_SLOT_EMPTY ||
        slot->state == VPCI_SLOT_GONE) {
        return VPCI_SLOT_CROSSED;
    }
    return slot->functions & 1 << VPCI_FUNCTION(devfn) ? VPCI_SLOT_OK
                                                       : VPCI_SLOT_BROKEN;
}
