/*
 * distkvm: the owner's answers to cycles of configuration space
 *
 * As on PCI, the answer pushes interrupts of the function ahead of it, to a
 * write as well as to a read: those that go from here to local APICs, and not
 * lines, nor messages that node 0's IOMMU remaps.  A guest that moves an MSI
 * which it cannot mask writes the new message, and then looks for an interrupt
 * of before in the local APIC; it would lose one that came later.  Answers
 * leave in the order of the cycles, because node 0 applies their changes in
 * that order.
 * BQL held.  Spec: docs/architecture.rst, "Devices of every node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/queue.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/dispatch.h"
#include "irq-fence.h"
#include "msi-fence.h"
#include "pci-config.h"

typedef struct ConfigAnswer {
    CohNodeId to;
    WireFrame frame;
    GByteArray *changes;
    unsigned held;              /* vectors that held interrupts, and 1      */
    CohNodeSet interrupted;     /* before it, by the function               */
    bool ready;
    QTAILQ_ENTRY(ConfigAnswer) next;
} ConfigAnswer;

/* The oldest first. */
static QTAILQ_HEAD(, ConfigAnswer) answers = QTAILQ_HEAD_INITIALIZER(answers);

static void served(void *opaque)
{
    ConfigAnswer *answer = opaque;

    answer->ready = true;
    while ((answer = QTAILQ_FIRST(&answers)) && answer->ready) {
        QTAILQ_REMOVE(&answers, answer, next);
        answer->frame.payload = answer->changes->data;
        engine_post(distkvm->engine, answer->to, &answer->frame);
        g_byte_array_unref(answer->changes);
        g_free(answer);
    }
}

static void release(ConfigAnswer *answer)
{
    if (!--answer->held) {
        fence_then(irq_fence(), &answer->interrupted, served, answer);
    }
}

static void held_have_left(void *opaque, const FenceVector *v)
{
    ConfigAnswer *answer = opaque;
    CohNodeId n;

    COH_SET_FOREACH(n, &v->to) {
        coh_set_add(&answer->interrupted, n);
    }
    release(answer);
}

static const char *check(const WireFrame *frame)
{
    return frame->pci_config.addr + frame->pci_config.size >
           WIRE_PCI_CONFIG_BYTES ? "a malformed access to a configuration"
                                 : NULL;
}

static const char *serve(const WireFrame *frame)
{
    const uint8_t devfn = frame->pci_config.devfn;
    const uint64_t generation = frame->pci_config.generation;
    VpciAccess access = {
        .addr = frame->pci_config.addr, .size = frame->pci_config.size,
        .write = frame->sub == WIRE_IO_WRITE, .data = frame->pci_config.data,
    };
    GByteArray *changes = vpci_serve_config(devfn, generation, &access);
    ConfigAnswer *answer;

    if (!changes) {
        return "an access to a PCI function that this node has not";
    }
    answer = g_new0(ConfigAnswer, 1);
    answer->to = frame->from;
    answer->changes = changes;
    answer->frame = (WireFrame) {
        .type = WIRE_PCI_CHANGED, .len = changes->len,
    };
    answer->frame.call = frame->call;
    answer->frame.pci_config.data = access.data;
    QTAILQ_INSERT_TAIL(&answers, answer, next);
    /* This function's own share, so that no vector ends it meanwhile. */
    answer->held = 1;
    answer->held += msi_fence_push(vpci_function(devfn, generation),
                                   &answer->interrupted, held_have_left,
                                   answer);
    release(answer);
    return NULL;
}

void pci_config_init(void)
{
    static const FrameService service = {
        "PCI configuration", FRAME_BQL, check, serve,
    };

    dispatch_register(WIRE_PCI_CONFIG, &service);
}
