/*
 * distkvm: the fence of message-signalled interrupts of this node's devices
 *
 * Each PCI function has a hook through which its MSIs leave.  A vector is known
 * by its message, which the guest has given it; when the message has changed,
 * the fence decides when the first one may leave.
 * Spec: docs/architecture.rst, "Interrupts".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/i386/x86-iommu.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pci_host.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/node.h"
#include "fence.h"
#include "msi-fence.h"
#include "accel/distkvm/trace.h"

typedef struct Function {
    PCIDevice *dev;
    GHashTable *vectors;        /* number -> FenceVector                    */
    unsigned many;              /* with that number idle ones are forgotten  */
} Function;

/* No device that drivers use has more; an IOMMU's table has 65,536 entries. */
#define MANY_VECTORS 2048

/* PCIDevice -> Function, of those that have sent an MSI. */
static GHashTable *functions;
static MSITriggerFunc *qemu_trigger;
static Fence *fence;
static FenceVector *leaving;    /* its message is on its way to the APICs   */

/* --------------------------------------------------------------- vectors */

/* Not a vector, but a message that a device has made up. */
#define NO_VECTOR (-1)

/*
 * Of a stand-in, whose vectors only its owner has.  A guest moves such a vector
 * by the IOMMU's table, and the message stays.
 */
static int vector_by_message(const MSIMessage *msg)
{
    int vector = fence_remapped_vector(msg->address, msg->data);

    return vector < 0 ? NO_VECTOR : vector;
}

static bool is_message(MSIMessage a, const MSIMessage *b)
{
    return a.address == b->address && a.data == b->data;
}

/* Two vectors with one message have one target, and may stand for each other. */
static int vector_of(PCIDevice *dev, const MSIMessage *msg)
{
    if (!msix_enabled(dev)) {
        return msi_enabled(dev)
               ? msg->data & (msi_nr_vectors_allocated(dev) - 1)
               : vector_by_message(msg);
    }
    for (unsigned v = 0; v < msix_nr_vectors_allocated(dev); v++) {
        if (is_message(msix_get_message(dev, v), msg)) {
            return v;
        }
    }
    return NO_VECTOR;
}

static gboolean forget_if_idle(gpointer number, gpointer vector, gpointer all)
{
    FenceVector *v = vector;
    CohNodeId n;

    if (v != leaving && fence_vector_is_idle(fence, v)) {
        fence_vector_clear(fence, v);
        return true;
    }
    COH_SET_FOREACH(n, &v->to) {
        coh_set_add(all, n);
    }
    return false;
}

static void ignore(void *unused)
{
}

/*
 * A guest may go through all entries of an IOMMU's table, and a vector has no
 * end but its function's.  Those that are not idle yet are so the next time,
 * since their nodes are asked what they have served.
 */
static void forget_idle(Function *function)
{
    CohNodeSet nodes = coh_set_empty();

    g_hash_table_foreach_remove(function->vectors, forget_if_idle, &nodes);
    fence_then(fence, &nodes, ignore, NULL);
    function->many = MAX(MANY_VECTORS,
                         2 * g_hash_table_size(function->vectors));
}

static FenceVector *find_vector(Function *function, int number)
{
    gpointer key = GINT_TO_POINTER(number);
    FenceVector *v = g_hash_table_lookup(function->vectors, key);

    if (!v) {
        if (g_hash_table_size(function->vectors) >= function->many) {
            forget_idle(function);
        }
        v = g_new0(FenceVector, 1);
        v->owner = function;
        g_hash_table_insert(function->vectors, key, v);
    }
    return v;
}

/* Where @msg goes: with an IOMMU, the guest moves a vector there. */
static FenceMessage message_of(PCIDevice *dev, MSIMessage msg)
{
    X86IOMMUState *iommu = x86_iommu_get_default();
    MSIMessage target = msg;

    if (iommu && x86_iommu_ir_supported(iommu) &&
        X86_IOMMU_DEVICE_GET_CLASS(iommu)->int_remap(
            iommu, &msg, &target, pci_requester_id(dev))) {
        target = msg;
    }
    return (FenceMessage) {
        .addr = msg.address, .data = msg.data,
        .target_addr = target.address, .target_data = target.data,
        .epoch = distkvm->irq_epoch,
    };
}

static void send_now(FenceVector *v, MSIMessage msg)
{
    Function *function = v->owner;

    leaving = v;
    qemu_trigger(function->dev, msg);
    leaving = NULL;
}

void msi_fence_left(CohNodeId to)
{
    if (leaving) {
        fence_vector_left(leaving, to);
    }
}

void msi_fence_deliver(FenceVector *v, const FenceMessage *message)
{
    MSIMessage msg = { .address = message->addr, .data = message->data };

    /* Of before a reset: no frame of that would be served, either. */
    if (message->epoch == qatomic_read(&distkvm->epoch)) {
        send_now(v, msg);
    }
}

static Function *find_function(PCIDevice *dev)
{
    Function *function = g_hash_table_lookup(functions, dev);

    if (!function) {
        function = g_new0(Function, 1);
        function->dev = dev;
        function->many = MANY_VECTORS;
        function->vectors = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_insert(functions, dev, function);
    }
    return function;
}

/* In place of QEMU's own, on any thread. */
static void trigger(PCIDevice *dev, MSIMessage msg)
{
    Function *function;
    FenceMessage message;
    FenceVector *v;

    BQL_LOCK_GUARD();
    /* Only node 0's IOMMU knows the target; the fence is there, too. */
    if (vpci_sends_msi(dev, msg.address, msg.data)) {
        return;
    }
    function = find_function(dev);
    v = find_vector(function, vector_of(dev, &msg));
    message = message_of(dev, msg);
    if (fence_vector_may_send(fence, v, &message)) {
        send_now(v, msg);
    } else {
        trace_distkvm_msi_held(msg.address, msg.data);
    }
}

/* ------------------------------------------------------------- functions */

static void free_function(gpointer opaque)
{
    Function *function = opaque;
    GHashTableIter at;
    gpointer v;

    g_hash_table_iter_init(&at, function->vectors);
    while (g_hash_table_iter_next(&at, NULL, &v)) {
        fence_vector_clear(fence, v);
        /* A message may be a write by which its own device goes. */
        leaving = leaving == v ? NULL : leaving;
    }
    g_hash_table_unref(function->vectors);
    g_free(function);
}

static void realized(DeviceListener *listener, DeviceState *dev)
{
    PCIDevice *pci = (PCIDevice *)object_dynamic_cast(OBJECT(dev),
                                                      TYPE_PCI_DEVICE);

    /* A listener that comes later has all of them called anew. */
    if (pci && pci->msi_trigger && pci->msi_trigger != trigger) {
        g_assert(!qemu_trigger || qemu_trigger == pci->msi_trigger);
        qemu_trigger = pci->msi_trigger;
        pci->msi_trigger = trigger;
    }
}

/*
 * QEMU doesn't call this for a device whose plug was refused: before that, such
 * a device must have nothing here.
 */
static void unrealized(DeviceListener *listener, DeviceState *dev)
{
    g_hash_table_remove(functions, dev);
}

/* --------------------------------------------------------------- accesses */

static unsigned wait_for(const Function *function, CohNodeSet *nodes,
                         MsiFenceLeft *left, void *opaque)
{
    GHashTableIter at;
    unsigned held = 0;
    CohNodeId n;
    gpointer v;

    g_hash_table_iter_init(&at, function->vectors);
    while (g_hash_table_iter_next(&at, NULL, &v)) {
        COH_SET_FOREACH(n, &((FenceVector *)v)->to) {
            coh_set_add(nodes, n);
        }
        held += fence_vector_then(v, left, opaque);
    }
    return held;
}

unsigned msi_fence_push(Object *device, CohNodeSet *nodes, MsiFenceLeft *left,
                        void *opaque)
{
    Function *function = g_hash_table_lookup(functions, device);
    GHashTableIter at;
    unsigned held = 0;
    gpointer each;

    if (function) {
        return wait_for(function, nodes, left, opaque);
    }
    if (device && object_dynamic_cast(device, TYPE_PCI_HOST_BRIDGE)) {
        g_hash_table_iter_init(&at, functions);
        while (g_hash_table_iter_next(&at, NULL, &each)) {
            held += wait_for(each, nodes, left, opaque);
        }
    }
    return held;
}

void msi_fence_init(Fence *f)
{
    static DeviceListener listener = {
        .realize = realized, .unrealize = unrealized,
    };

    fence = f;
    functions = g_hash_table_new_full(NULL, NULL, NULL, free_function);
    device_listener_register(&listener);
}
