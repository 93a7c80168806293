/*
 * distkvm: tests of PCI functions that the fence of interrupts watches
 *
 * QEMU's listeners, PCI devices and big lock stand here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/i386/x86-iommu.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "system/distkvm-pci.h"
#include "accel/distkvm/machine/fence.h"
#include "accel/distkvm/machine/msi-fence.h"
#include "accel/distkvm/node.h"

#define TYPE_NO_PCI_DEVICE "no-pci-device"
#define TARGET 1

/* Memory in which devices come and go. */
static PCIDevice place;
static DeviceListener *listener;
static Fence *fence;
static unsigned sent;
static bool is_local;           /* interrupts reach no other node           */
static uint64_t asked;

void device_listener_register(DeviceListener *l)
{
    listener = l;
}

X86IOMMUState *x86_iommu_get_default(void)
{
    return NULL;
}

bool x86_iommu_ir_supported(X86IOMMUState *s)
{
    g_assert_not_reached();
}

uint16_t pci_requester_id(PCIDevice *dev)
{
    g_assert_not_reached();
}

bool msi_enabled(const PCIDevice *dev)
{
    return false;
}

unsigned int msi_nr_vectors_allocated(const PCIDevice *dev)
{
    g_assert_not_reached();
}

int msix_enabled(PCIDevice *dev)
{
    return false;
}

unsigned int msix_nr_vectors_allocated(const PCIDevice *dev)
{
    g_assert_not_reached();
}

MSIMessage msix_get_message(PCIDevice *dev, unsigned int vector)
{
    g_assert_not_reached();
}

bool vpci_sends_msi(PCIDevice *dev, uint64_t addr, uint32_t data)
{
    return false;
}

static void ask(CohNodeId to, uint64_t count)
{
    asked = count;
}

static void answer(CohNodeId to, uint64_t count)
{
    g_assert_not_reached();
}

static const FenceOps ops = { ask, answer, msi_fence_deliver };

static void qemu_trigger(PCIDevice *dev, MSIMessage msg)
{
    g_assert_true(dev == &place);
    sent++;
    if (!is_local) {
        fence_sent(fence, TARGET);
        msi_fence_left(TARGET);
    }
}

/* ---------------------------------------------------------------- tests */

static void come(const char *type)
{
    memset(&place, 0, sizeof(place));
    object_initialize(&place, sizeof(place), type);
    place.msi_trigger = qemu_trigger;
    listener->realize(listener, &place.qdev);
}

static bool is_read_pushing(void)
{
    CohNodeSet nodes = { 0 };

    g_assert_cmpuint(msi_fence_push(OBJECT(&place), &nodes, NULL, NULL), ==, 0);
    return coh_set_has(&nodes, TARGET);
}

/* A function that has gone pushes nothing, nor does the next one there. */
static void test_gone(void)
{
    for (unsigned round = 0; round < 2; round++) {
        come(TYPE_PCI_DEVICE);
        g_assert_true(place.msi_trigger != qemu_trigger);
        g_assert_false(is_read_pushing());
        place.msi_trigger(&place, (MSIMessage) { .address = 0xfee00000 });
        g_assert_cmpuint(sent, ==, round + 1);
        g_assert_true(is_read_pushing());
        listener->unrealize(listener, &place.qdev);
        g_assert_false(is_read_pushing());
    }
}

#define TABLE_ENTRIES 0x8000u
#define TO_ANOTHER_NODE 3000u

/* By each entry of an IOMMU's table. */
static void send_all(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        place.msi_trigger(&place, (MSIMessage) {
            .address = 0xfee00010 | n << 5,
        });
    }
}

/*
 * Vectors are without number, and are not kept when all that they sent has been
 * served; before that they are.
 */
static void test_many(void)
{
    come(TYPE_PCI_DEVICE);
    send_all(0, TO_ANOTHER_NODE);
    is_local = true;
    g_assert_true(is_read_pushing());
    send_all(TO_ANOTHER_NODE, TABLE_ENTRIES);
    g_assert_true(is_read_pushing());
    g_assert_cmpuint(asked, >, 0);
    g_assert_null(fence_answered(fence, TARGET, asked));
    send_all(0, TABLE_ENTRIES);
    g_assert_false(is_read_pushing());
    is_local = false;
    listener->unrealize(listener, &place.qdev);
}

/*
 * QEMU tells no listener that it takes back a device whose plug was refused.
 * Another device has its memory then, and no PCI device.
 */
static void test_refused(void)
{
    come(TYPE_PCI_DEVICE);
    come(TYPE_NO_PCI_DEVICE);
    place.msi_trigger = NULL;
    listener->unrealize(listener, &place.qdev);
    g_assert_null(place.msi_trigger);
}

static const TypeInfo types[] = {
    { .name = TYPE_PCI_DEVICE, .parent = TYPE_OBJECT,
      .instance_size = sizeof(PCIDevice) },
    { .name = TYPE_NO_PCI_DEVICE, .parent = TYPE_OBJECT,
      .instance_size = sizeof(PCIDevice) },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    module_call_init(MODULE_INIT_QOM);
    type_register_static_array(types, ARRAY_SIZE(types));
    distkvm = g_new0(DistKVM, 1);
    fence = fence_new(&ops);
    msi_fence_init(fence);
    g_test_add_func("/msi-fence/gone", test_gone);
    g_test_add_func("/msi-fence/many", test_many);
    g_test_add_func("/msi-fence/refused", test_refused);
    return g_test_run();
}
