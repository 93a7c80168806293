/*
 * distkvm: tests of whether a device access may wait for a peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "qemu/rcu.h"
#include "accel/distkvm/machine/may-wait.h"
#include "accel/distkvm/machine/service.h"
#include "accel/distkvm/node.h"

__thread CPUState *current_cpu;

static bool in_service;
static const MemTxAttrs of_vcpu, dma = { .unspecified = true },
                        of_function = { .requester_id = 0x28 },
                        to_memory = { .memory = 1 }, of_monitor = { .debug = 1 };

bool service_is_this_thread(void)
{
    return in_service;
}

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    g_assert_not_reached();
}

static void test_vcpu(void)
{
    current_cpu = g_malloc0(sizeof(CPUState));
    g_assert_true(may_wait(of_vcpu));
    /* A device that does DMA within the vCPU's access. */
    g_assert_false(may_wait(dma));
    g_assert_false(may_wait(of_function));
    g_assert_false(may_wait(to_memory));
    g_assert_false(may_wait(of_monitor));
    g_assert_true(is_of_vcpu(of_vcpu));
    g_assert_false(is_of_vcpu(dma));
    g_clear_pointer(&current_cpu, g_free);
}

/* An access that is served goes in the name of a vCPU, elsewhere. */
static void test_service(void)
{
    in_service = true;
    g_assert_false(may_wait(of_vcpu));
    current_cpu = g_malloc0(sizeof(CPUState));
    g_assert_false(may_wait(of_vcpu));
    g_assert_false(may_wait(dma));
    g_clear_pointer(&current_cpu, g_free);
    distkvm->vmi = DISTKVM_VMI_QTEST;
    g_assert_false(may_wait(dma));
    distkvm->vmi = DISTKVM_VMI_TCG;
    in_service = false;
}

/* The monitor looks through a vCPU's eyes, in the main loop. */
static void test_main_loop(void)
{
    g_assert_false(may_wait(of_vcpu));
    g_assert_false(may_wait(dma));
}

static void test_qtest(void)
{
    distkvm->vmi = DISTKVM_VMI_QTEST;
    rcu_read_lock();
    g_assert_true(may_wait(dma));
    rcu_read_lock();
    g_assert_false(may_wait(dma));
    rcu_read_unlock();
    rcu_read_unlock();
    distkvm->vmi = DISTKVM_VMI_TCG;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    distkvm = g_new0(DistKVM, 1);
    g_test_add_func("/may-wait/vcpu", test_vcpu);
    g_test_add_func("/may-wait/service", test_service);
    g_test_add_func("/may-wait/main-loop", test_main_loop);
    g_test_add_func("/may-wait/qtest", test_qtest);
    return g_test_run();
}
