/*
 * distkvm: PCI devices of followers that come and go while the guest runs
 *
 * Descriptions of functions go the way of those of the start (pci.c).  This has
 * the owner's request to take a device back, and node 0's news of it.
 * Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-distkvm-pci.h"
#include "system/distkvm.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/text.h"
#include "pci.h"
#include "pci-plug.h"
#include "power-off.h"
#include "replica.h"
#include "service.h"

QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS_ACCEPTED != VPCI_ACCEPTED);
QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS_REJECTED != VPCI_REJECTED);
QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS_KEPT != VPCI_KEPT);
QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS_EJECTED != VPCI_EJECTED);
QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS_RELEASED != VPCI_RELEASED);
QEMU_BUILD_BUG_ON((int)MEMBER_PCI_NEWS__MAX != VPCI_NEWS__MAX);

/* ---------------------------------------------------------------- node 0 */

void distkvm_pci_news(unsigned node, unsigned slot, uint64_t generation,
                      VpciNews news, const char *why)
{
    g_autofree char *text = why ? text_line(why) : NULL;

    member_send(node, &(MemberMessage) {
        .type = MESSAGE_PCI_SLOT,
        .u.pci_slot = {
            .slot = slot, .generation = generation,
            .news = (MemberPciNews)news, .why = text,
        },
    });
}

void distkvm_pci_say_rejected(unsigned node, const char *why)
{
    static SayLimit limit = { .subject = "PCI devices were rejected" };

    say_limited(&limit, "distkvm: a PCI device of node %u cannot be shown to"
                " the guest: %s", node, why);
}

typedef struct Mapped {
    void (*fn)(void *opaque);
    void *opaque;
} Mapped;

static void call_mapped(void *opaque)
{
    g_autofree Mapped *m = opaque;

    m->fn(m->opaque);
}

static void all_have_map(void *opaque)
{
    service_queue_main(call_mapped, opaque);
}

/* A caller keeps the BQL until its change of the map is whole. */
static void wait_for_map(void *opaque)
{
    replica_then(replica_last(), all_have_map, opaque);
}

void distkvm_pci_when_mapped(void (*fn)(void *opaque), void *opaque)
{
    Mapped *m = g_new(Mapped, 1);

    m->fn = fn;
    m->opaque = opaque;
    service_queue_main(wait_for_map, m);
}

static const char *serve_unplug(CohNodeId from, const MemberMessage *message)
{
    const MemberPciUnplug *unplug = &message->u.pci_unplug;

    return pci_fault_in_words(vpci_hear_unplug(from, unplug->slot,
                                               unplug->generation,
                                               unplug->pulled));
}

/* ------------------------------------------------------------- the owner */

bool distkvm_pci_may_plug(Error **errp)
{
    if (!distkvm_may_go_on(errp)) {
        return false;
    }
    if (!node_is_formed() || power_off_is_leaving()) {
        error_setg(errp, "distkvm: devices of node %d come and go while all"
                   " nodes are there; wait until they have joined",
                   distkvm->id);
        return false;
    }
    return true;
}

void distkvm_pci_rejected(const DeviceState *dev, const char *why)
{
    qapi_event_send_distkvm_device_rejected(dev->id, dev->canonical_path, why);
}

static const char *serve_news(CohNodeId from, const MemberMessage *message)
{
    const MemberPciSlot *slot = &message->u.pci_slot;
    g_autofree char *why = slot->why ? text_of_peer(slot->why) : NULL;

    return pci_fault_in_words(vpci_hear_news(slot->slot, slot->generation,
                                             (VpciNews)slot->news, why));
}

void pci_plug_init(void)
{
    static const MemberService services[] = {
        { MESSAGE_PCI_UNPLUG, MEMBER_MAIN, serve_unplug },
        { MESSAGE_PCI_SLOT, MEMBER_MAIN, serve_news },
    };

    member_register(services, ARRAY_SIZE(services));
}
