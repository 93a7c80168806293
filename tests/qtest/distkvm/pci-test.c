/*
 * distkvm: PCI devices of node 1, as node 0's bus shows them
 *
 * The device is QEMU's "edu", whose registers are in docs/specs/edu.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "pair.h"
#include "pci-test.h"
#include "hw/pci/pci_regs.h"
#include "libqos/fw_cfg.h"
#include "qobject/qlist.h"

#define PCI_DEVFN(slot, function) ((slot) << 3 | (function))

/* pc: the highest device number that is free, and the first slot. */
#define BRIDGE PCI_DEVFN(31, 0)
#define BUS_BEHIND 1
#define EDU PCI_DEVFN(1, 0)

/* q35: the highest bus numbers, and the register with the address of ECAM. */
#define ROOT_OF_NODE_1 254u
#define BUS_OF_PORT 255u
#define MCH_PCIEXBAR 0x60
#define ECAM 0xb0000000u
#define EDU_ECAM (ECAM + (BUS_OF_PORT << 20))
/* Node 0's device for tests, and two of its registers; docs/testing.rst. */
#define TEST_DEVICE 0xfe800000u
#define TEST_DMA 8
#define TEST_FETCHED 16

#define WINDOW 0xfe000000u
#define WINDOW_END 0xfe1fffffu
#define MOVED 0xfe100000u
#define EDU_BYTES 0x100000u

enum {
    EDU_ID = 0, EDU_INVERSE = 4, EDU_IRQ = 0x24,
    EDU_RAISE = 0x60, EDU_ACK = 0x64, EDU_FROM = 0x80, EDU_TO = 0x88,
    EDU_COUNT = 0x90, EDU_COMMAND = 0x98,
};
#define EDU_ID_VALUE 0x010000edu
#define EDU_BUFFER 0x40000
#define EDU_RUN 1
#define EDU_TO_RAM 2
/* Later than the device's timer of 100 ms. */
#define EDU_DMA_NS (200 * 1000 * 1000)

#define PIIX_ISA PCI_DEVFN(1, 0)
#define PIIX_PIRQA 0x60
#define IRQ 11

#include "pci-state.c.inc"

static uint32_t config_read(QTestState *s, int bus, int devfn, int at)
{
    qtest_outl(s, PORT_PCI_ADDRESS, 1u << 31 | bus << 16 | devfn << 8 |
               (at & ~3));
    return qtest_inl(s, PORT_PCI_DATA);
}

static void config_write(QTestState *s, int bus, int devfn, int at,
                         uint32_t value)
{
    qtest_outl(s, PORT_PCI_ADDRESS, 1u << 31 | bus << 16 | devfn << 8 | at);
    qtest_outl(s, PORT_PCI_DATA, value);
}

/* Numbers, a window, a BAR, and commands: the work of firmware. */
static void set_up(QTestState *s)
{
    config_write(s, 0, BRIDGE, PCI_PRIMARY_BUS, BUS_BEHIND << 16 |
                 BUS_BEHIND << 8);
    config_write(s, 0, BRIDGE, PCI_MEMORY_BASE,
                 (WINDOW_END & 0xfff00000) | WINDOW >> 16);
    config_write(s, 0, BRIDGE, PCI_COMMAND,
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    config_write(s, BUS_BEHIND, EDU, PCI_BASE_ADDRESS_0, WINDOW);
    config_write(s, BUS_BEHIND, EDU, PCI_COMMAND,
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Node 1 has the device, and no node has set it up. */
static void start_nodes(Pair *p)
{
    pair_start_nodes(p, 2, &(PairShape) {
        .machine = "pc", .others = "-device edu,id=e",
    });
    pair_wait_map(p);
}

static void start(Pair *p)
{
    start_nodes(p);
    set_up(p->node[0]);
}

/* The owner says which bits of a register there are. */
static void test_config(void)
{
    QTestState *boot;
    Pair p;

    start_nodes(&p);
    boot = p.node[0];
    set_up(boot);
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_VENDOR_ID), ==,
                    0x11e81234);
    config_write(boot, BUS_BEHIND, EDU, PCI_BASE_ADDRESS_0, 0xffffffff);
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_BASE_ADDRESS_0), ==,
                    (uint32_t)-EDU_BYTES);
    config_write(boot, BUS_BEHIND, EDU, PCI_VENDOR_ID, 0);
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_VENDOR_ID), ==,
                    0x11e81234);
    check_copies(&p);
    /* There is no such slot, and no such function. */
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU + 8, PCI_VENDOR_ID), ==,
                    0xffffffff);
    pair_end(&p);
}

/* Both nodes reach the device's registers, also where they are moved to. */
static void test_bar(void)
{
    Pair p;

    start(&p);
    for (int n = 0; n < 2; n++) {
        QTestState *s = p.node[n];

        g_assert_cmphex(qtest_readl(s, WINDOW + EDU_ID), ==, EDU_ID_VALUE);
        qtest_writel(s, WINDOW + EDU_INVERSE, 0x1234 + n);
        g_assert_cmphex(qtest_readl(p.node[!n], WINDOW + EDU_INVERSE), ==,
                        ~(0x1234u + n));
    }
    config_write(p.node[0], BUS_BEHIND, EDU, PCI_BASE_ADDRESS_0, MOVED);
    for (int n = 0; n < 2; n++) {
        g_assert_cmphex(qtest_readl(p.node[n], MOVED + EDU_ID), ==,
                        EDU_ID_VALUE);
        g_assert_cmphex(qtest_readl(p.node[n], WINDOW + EDU_ID), !=,
                        EDU_ID_VALUE);
    }
    pair_end(&p);
}

/* Any node's vCPU may perform configuration cycles. */
static void test_follower_configures(void)
{
    Pair p;

    start_nodes(&p);
    set_up(p.node[1]);
    g_assert_cmphex(qtest_readl(p.node[1], WINDOW + EDU_ID), ==, EDU_ID_VALUE);
    g_assert_cmphex(config_read(p.node[1], BUS_BEHIND, EDU, PCI_COMMAND) &
                    0xffff, ==, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pair_end(&p);
}

static void wait_irq(QTestState *s, bool level)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    while (qtest_get_irq(s, IRQ) != level) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        /* It reads what the node has said. */
        qtest_readl(s, PAGE_OF_NODE_0);
        g_usleep(1000);
    }
}

/* Runs again after a reset of the cluster. */
static void reset(Pair *p)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    qobject_unref(qtest_qmp(p->node[0], "{ 'execute': 'system_reset' }"));
    /* The reset clears the bridge's numbers of buses. */
    while (config_read(p->node[0], 0, BRIDGE, PCI_PRIMARY_BUS) & 0xffffff) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    while (qtest_readl(p->node[1], WINDOW + EDU_ID) == EDU_ID_VALUE) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    pair_wait_map(p);
}

/* A register that gets the value it had before a reset changes again. */
static void test_reset(void)
{
    Pair p;

    start(&p);
    g_assert_cmphex(qtest_readl(p.node[0], WINDOW + EDU_ID), ==, EDU_ID_VALUE);
    reset(&p);
    set_up(p.node[0]);
    for (int n = 0; n < 2; n++) {
        g_assert_cmphex(qtest_readl(p.node[n], WINDOW + EDU_ID), ==,
                        EDU_ID_VALUE);
    }
    pair_end(&p);
}

/* The bus behind the bridge is reset, and no other; node 0's copy agrees. */
static void test_bus_reset(void)
{
    QTestState *boot;
    Pair p;

    start(&p);
    boot = p.node[0];
    config_write(boot, 0, BRIDGE, PCI_INTERRUPT_LINE,
                 PCI_BRIDGE_CTL_BUS_RESET << 16);
    config_write(boot, 0, BRIDGE, PCI_INTERRUPT_LINE, 0);
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_COMMAND) & 0xffff,
                    ==, 0);
    g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_BASE_ADDRESS_0),
                    ==, 0);
    g_assert_cmphex(qtest_readl(boot, WINDOW + EDU_ID), !=, EDU_ID_VALUE);
    check_copies(&p);
    set_up(boot);
    check_copies(&p);
    for (int n = 0; n < 2; n++) {
        g_assert_cmphex(qtest_readl(p.node[n], WINDOW + EDU_ID), ==,
                        EDU_ID_VALUE);
    }
    pair_end(&p);
}

/* q35: node 1's device has its configuration in memory. */
static void start_ecam(Pair *p)
{
    const uint64_t port = ECAM + (ROOT_OF_NODE_1 << 20 | PCI_DEVFN(1, 0) << 12);
    QTestState *boot;

    pair_start_nodes(p, 2, &(PairShape) {
        .accel = ",x-test-device=on", .others = "-device edu,id=e",
        .dead_after_ms = BEARS_STOPS_MS,
    });
    pair_wait_map(p);
    boot = p->node[0];
    config_write(boot, 0, 0, MCH_PCIEXBAR + 4, 0);
    config_write(boot, 0, 0, MCH_PCIEXBAR, ECAM | 1);
    g_assert_cmphex(qtest_readw(boot, port + PCI_VENDOR_ID), ==, 0x1b36);
    qtest_writel(boot, port + PCI_PRIMARY_BUS, BUS_OF_PORT << 16 |
                 BUS_OF_PORT << 8 | ROOT_OF_NODE_1);
    qtest_writew(boot, EDU_ECAM + PCI_COMMAND, PCI_COMMAND_MASTER);
}

/*
 * Half of an access of 8 bytes is performed by the owner, and the other half by
 * node 0.
 */
static void test_ecam(void)
{
    Pair p;

    start_ecam(&p);
    for (int n = 0; n < 2; n++) {
        uint64_t found = qtest_readq(p.node[n], EDU_ECAM + PCI_VENDOR_ID);

        g_assert_cmphex(found & 0xffffffff, ==, 0x11e81234);
        g_assert_cmphex(found >> 32 & 0xffff, ==, PCI_COMMAND_MASTER);
        /* STATUS is the owner's to tell. */
        g_assert_cmphex(found >> 48 & PCI_STATUS_CAP_LIST, !=, 0);
    }
    pair_end(&p);
}

/* Node 0's device fetches 8 bytes of configuration, in an access of @s. */
static void check_fetched_copy(Pair *p, QTestState *s)
{
    uint64_t fetched;

    qtest_writeq(s, TEST_DEVICE + TEST_DMA, EDU_ECAM + PCI_VENDOR_ID);
    fetched = qtest_readq(p->node[0], TEST_DEVICE + TEST_FETCHED);
    g_assert_cmphex(fetched & 0xffffffff, ==, 0x11e81234);
    g_assert_cmphex(fetched >> 32 & 0xffff, ==, PCI_COMMAND_MASTER);
    qtest_writeq(s, TEST_DEVICE + TEST_DMA, PAGE_OF_NODE_0 + 0x1000);
    g_assert_cmphex(qtest_readq(p->node[0], TEST_DEVICE + TEST_FETCHED), ==, 0);
}

/* DMA there does not wait for the owner, and no answer waits for it. */
static void test_ecam_dma(void)
{
    Pair p;

    start_ecam(&p);
    g_assert_cmpint(kill(p.pid[1], SIGSTOP), ==, 0);
    check_fetched_copy(&p, p.node[0]);
    g_assert_cmpint(kill(p.pid[1], SIGCONT), ==, 0);
    check_fetched_copy(&p, p.node[1]);
    for (int n = 0; n < 2; n++) {
        g_assert_false(pair_flag(p.node[n], "failed"));
    }
    pair_end(&p);
}

/* A line that the device raises on node 1 arrives at node 0's IOAPIC. */
static void test_line(void)
{
    Pair p;

    start_nodes(&p);
    qtest_irq_intercept_in(p.node[0], "ioapic");
    set_up(p.node[0]);
    /* Whichever of the four the bridge leads the pin to. */
    config_write(p.node[0], 0, PIIX_ISA, PIIX_PIRQA, 0x01010101 * IRQ);
    g_assert_false(qtest_get_irq(p.node[0], IRQ));
    qtest_writel(p.node[0], WINDOW + EDU_RAISE, 4);
    wait_irq(p.node[0], true);
    g_assert_cmphex(qtest_readl(p.node[0], WINDOW + EDU_IRQ), ==, 4);
    qtest_writel(p.node[1], WINDOW + EDU_ACK, 4);
    wait_irq(p.node[0], false);
    pair_end(&p);
}

/* The device's DMA: from RAM of one node to its buffer, to RAM of another. */
static void dma(Pair *p, uint64_t from, uint64_t to, uint32_t bytes,
                uint32_t command)
{
    QTestState *s = p->node[0];

    qtest_writeq(s, WINDOW + EDU_FROM, from);
    qtest_writeq(s, WINDOW + EDU_TO, to);
    qtest_writeq(s, WINDOW + EDU_COUNT, bytes);
    qtest_writeq(s, WINDOW + EDU_COMMAND, EDU_RUN | command);
    qtest_clock_step(p->node[1], EDU_DMA_NS);
    g_assert_cmphex(qtest_readq(s, WINDOW + EDU_COMMAND) & EDU_RUN, ==, 0);
}

static void test_dma(void)
{
    uint8_t sent[1024], found[sizeof(sent)];
    Pair p;

    start(&p);
    for (unsigned i = 0; i < sizeof(sent); i++) {
        sent[i] = i * 7 + 3;
    }
    qtest_memwrite(p.node[0], PAGE_OF_NODE_0, sent, sizeof(sent));
    dma(&p, PAGE_OF_NODE_0, EDU_BUFFER, sizeof(sent), 0);
    dma(&p, EDU_BUFFER, PAGE_OF_NODE_1, sizeof(sent), EDU_TO_RAM);
    qtest_memread(p.node[0], PAGE_OF_NODE_1, found, sizeof(found));
    g_assert_cmpint(memcmp(found, sent, sizeof(sent)), ==, 0);
    pair_end(&p);
}

/* INTx is disabled while the line is high; enabled then, and when it is low. */
static void test_line_disabled(void)
{
    const uint32_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    QTestState *boot;
    Pair p;

    start_nodes(&p);
    boot = p.node[0];
    qtest_irq_intercept_in(boot, "ioapic");
    set_up(boot);
    config_write(boot, 0, PIIX_ISA, PIIX_PIRQA, 0x01010101 * IRQ);
    for (int round = 0; round < 2; round++) {
        qtest_writel(boot, WINDOW + EDU_RAISE, 4);
        wait_irq(boot, true);
        config_write(boot, BUS_BEHIND, EDU, PCI_COMMAND,
                     command | PCI_COMMAND_INTX_DISABLE);
        wait_irq(boot, false);
        /* STATUS shows the line nevertheless. */
        g_assert_cmphex(config_read(boot, BUS_BEHIND, EDU, PCI_COMMAND) >> 16 &
                        PCI_STATUS_INTERRUPT, !=, 0);
        check_copies(&p);
        /* It is high again when INTx is enabled while the device raises it. */
        config_write(boot, BUS_BEHIND, EDU, PCI_COMMAND, command);
        wait_irq(boot, true);
        g_usleep(100 * 1000);
        wait_irq(boot, true);
        config_write(boot, BUS_BEHIND, EDU, PCI_COMMAND,
                     command | PCI_COMMAND_INTX_DISABLE);
        qtest_writel(boot, WINDOW + EDU_ACK, 4);
        config_write(boot, BUS_BEHIND, EDU, PCI_COMMAND, command);
        wait_irq(boot, false);
        check_copies(&p);
    }
    pair_end(&p);
}

static void kill_owner(Pair *p)
{
    g_assert_cmpint(kill(p->pid[1], SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(p->pid[1], NULL, 0), ==, p->pid[1]);
}

/* A lost owner: reads give ones, and nothing waits. */
static void test_owner_lost(void)
{
    Pair p;

    start(&p);
    g_assert_cmphex(config_read(p.node[0], BUS_BEHIND, EDU, PCI_VENDOR_ID), !=,
                    0xffffffff);
    kill_owner(&p);
    pair_wait_flag(p.node[0], "failed");
    wait_lost(p.node[0]);
    g_assert_cmphex(config_read(p.node[0], BUS_BEHIND, EDU, PCI_VENDOR_ID), ==,
                    0xffffffff);
    g_assert_cmphex(qtest_readl(p.node[0], WINDOW + EDU_ID), !=, EDU_ID_VALUE);
    config_read(p.node[0], BUS_BEHIND, EDU, PCI_STATUS);
    config_write(p.node[0], BUS_BEHIND, EDU, PCI_COMMAND, 0);
    qtest_quit(p.node[0]);
    pair_remove_sockets(&p);
}

/* A cycle, performed in a thread of its own. */
typedef struct ReadCycle {
    QTestState *s;
    int bus, devfn, at;
    uint32_t found;
} ReadCycle;

static gpointer perform(gpointer opaque)
{
    ReadCycle *cycle = opaque;

    cycle->found = config_read(cycle->s, cycle->bus, cycle->devfn, cycle->at);
    return NULL;
}

/*
 * The owner stops with node 0's cycle before it, and with one of node 2 that
 * node 0 serves: both end with ones when the owner is given up.
 */
static void test_owner_stops(void)
{
    ReadCycle cycle[2];
    GThread *thread[2];
    Pair p;

    pair_start_nodes(&p, 3, &(PairShape) {
        .machine = "pc", .others = "-device edu,id=e",
    });
    pair_wait_map(&p);
    set_up(p.node[0]);
    g_assert_cmpint(kill(p.pid[1], SIGSTOP), ==, 0);
    for (int n = 0; n < 2; n++) {
        cycle[n] = (ReadCycle) {
            p.node[n * 2], BUS_BEHIND, EDU, PCI_COMMAND,
        };
        thread[n] = g_thread_new("cycle", perform, &cycle[n]);
    }
    for (int n = 0; n < 2; n++) {
        g_thread_join(thread[n]);
        g_assert_cmphex(cycle[n].found, ==, 0xffffffff);
        pair_wait_flag(p.node[n * 2], "failed");
    }
    kill_owner(&p);
    qtest_quit(p.node[2]);
    qtest_quit(p.node[0]);
    pair_remove_sockets(&p);
}

/*
 * One node's cycle is under way for long; those in functions of other nodes
 * are performed meanwhile, and none for an access within another.
 */
static void test_slow_owner(void)
{
    ReadCycle slow;
    GThread *thread;
    Pair p;

    pair_start_nodes(&p, 3, &(PairShape) {
        .machine = "pc", .others = "-device edu,id=e",
        .dead_after_ms = BEARS_STOPS_MS,
    });
    pair_wait_map(&p);
    set_up(p.node[0]);
    config_write(p.node[0], 0, BRIDGE - 8, PCI_PRIMARY_BUS,
                 (BUS_BEHIND + 1) << 16 | (BUS_BEHIND + 1) << 8);
    slow = (ReadCycle) { p.node[0], BUS_BEHIND, EDU, PCI_COMMAND };
    g_assert_cmpint(kill(p.pid[1], SIGSTOP), ==, 0);
    thread = g_thread_new("cycle", perform, &slow);
    g_usleep(100 * 1000);
    for (int i = 0; i < 100; i++) {
        g_assert_cmphex(config_read(p.node[2], BUS_BEHIND + 1, EDU,
                                    PCI_COMMAND) >> 16 & PCI_STATUS_CAP_LIST,
                        !=, 0);
        g_assert_cmphex(config_read(p.node[2], 0, PIIX_ISA, PCI_VENDOR_ID), ==,
                        0x70008086);
    }
    g_assert_cmpint(kill(p.pid[1], SIGCONT), ==, 0);
    g_thread_join(thread);
    g_assert_cmphex(slow.found & 0xffff, ==,
                    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pair_end(&p);
}

#include "pci-move.c.inc"
#include "pci-hotplug.c.inc"
#include "pci-query.c.inc"
#include "pci-leave.c.inc"
#include "pci-msi.c.inc"
#include "pci-pull.c.inc"
#include "pci-acpi.c.inc"
#include "pci-reset.c.inc"
#include "pci-rounds.c.inc"
#include "pci-ecam.c.inc"
#include "pci-memory.c.inc"

static void hotplug_tests_add(void)
{
    qtest_add_func("/distkvm/hotplug/plug", test_plug);
    qtest_add_func("/distkvm/hotplug/unplug-elsewhere", test_unplug_elsewhere);
    qtest_add_func("/distkvm/hotplug/unplug-cold", test_unplug_cold);
    qtest_add_func("/distkvm/hotplug/kept", test_kept);
    qtest_add_func("/distkvm/hotplug/late-eject", test_late_eject);
    qtest_add_func("/distkvm/hotplug/functions", test_functions);
    qtest_add_func("/distkvm/hotplug/refused", test_refused);
    qtest_add_func("/distkvm/hotplug/rejected", test_rejected);
    qtest_add_func("/distkvm/hotplug/two-at-once", test_two_at_once);
    qtest_add_func("/distkvm/hotplug/rom", test_rom);
    qtest_add_func("/distkvm/hotplug/lost", test_hotplug_lost);
    qtest_add_func("/distkvm/hotplug/lost-slots", test_lost_slots);
    qtest_add_func("/distkvm/hotplug/leave-in-cycle", test_leave_in_cycle);
    qtest_add_func("/distkvm/hotplug/leave-quiet", test_leave_quiet);
    qtest_add_func("/distkvm/hotplug/leave-line", test_leave_line);
    qtest_add_func("/distkvm/hotplug/leave-function", test_leave_function);
    qtest_add_func("/distkvm/hotplug/leave-function-cold",
                   test_leave_function_cold);
    qtest_add_func("/distkvm/hotplug/leave-after-failure",
                   test_leave_after_failure);
    qtest_add_func("/distkvm/hotplug/leave-disk", test_leave_disk);
    qtest_add_func("/distkvm/hotplug/reset-while-added",
                   test_reset_while_added);
    qtest_add_func("/distkvm/hotplug/pull", test_pull);
    qtest_add_func("/distkvm/hotplug/pull-asked", test_pull_asked);
    qtest_add_func("/distkvm/hotplug/pull-line", test_pull_line);
    qtest_add_func("/distkvm/hotplug/pull-told", test_pull_told);
    qtest_add_func("/distkvm/hotplug/pull-told-by-line",
                   test_pull_told_by_line);
    qtest_add_func("/distkvm/hotplug/pull-replaced", test_pull_replaced);
    qtest_add_func("/distkvm/hotplug/pull-left-on", test_pull_left_on);
    qtest_add_func("/distkvm/hotplug/pull-toggled", test_pull_toggled);
    qtest_add_func("/distkvm/hotplug/pull-and-reset", test_pull_and_reset);
    qtest_add_func("/distkvm/hotplug/pull-untouched", test_pull_untouched);
    qtest_add_func("/distkvm/hotplug/pull-heeded", test_pull_heeded);
    qtest_add_func("/distkvm/hotplug/pull-roms", test_pull_roms);
    qtest_add_func("/distkvm/hotplug/lost-roms", test_lost_roms);
    qtest_add_func("/distkvm/hotplug/cold-roms", test_cold_roms);
    qtest_add_func("/distkvm/hotplug/pull-disk", test_pull_disk);
    qtest_add_func("/distkvm/hotplug/pull-refused", test_pull_refused);
    qtest_add_func("/distkvm/hotplug/rounds", test_rounds);
    qtest_add_func("/distkvm/hotplug/acpi", test_acpi);
    qtest_add_func("/distkvm/hotplug/acpi-cold", test_acpi_cold);
    qtest_add_func("/distkvm/hotplug/acpi-kept", test_acpi_kept);
    qtest_add_func("/distkvm/hotplug/acpi-functions", test_acpi_functions);
    qtest_add_func("/distkvm/hotplug/acpi-in-cycle", test_acpi_in_cycle);
    qtest_add_func("/distkvm/hotplug/acpi-two-nodes", test_acpi_two_nodes);
    qtest_add_func("/distkvm/hotplug/acpi-refused", test_acpi_refused);
    qtest_add_func("/distkvm/hotplug/acpi-no-bridge", test_acpi_no_bridge);
    qtest_add_func("/distkvm/hotplug/acpi-off", test_acpi_off);
}

void pci_tests_add(void)
{
    qtest_add_func("/distkvm/pci/config", test_config);
    qtest_add_func("/distkvm/pci/bar", test_bar);
    qtest_add_func("/distkvm/pci/moves", test_moves);
    qtest_add_func("/distkvm/pci/follower", test_follower_configures);
    qtest_add_func("/distkvm/pci/reset", test_reset);
    qtest_add_func("/distkvm/pci/bus-reset", test_bus_reset);
    qtest_add_func("/distkvm/pci/ecam", test_ecam);
    qtest_add_func("/distkvm/pci/ecam-dma", test_ecam_dma);
    qtest_add_func("/distkvm/pci/line", test_line);
    qtest_add_func("/distkvm/pci/line-disabled", test_line_disabled);
    qtest_add_func("/distkvm/pci/dma", test_dma);
    qtest_add_func("/distkvm/pci/owner-lost", test_owner_lost);
    qtest_add_func("/distkvm/pci/owner-stops", test_owner_stops);
    qtest_add_func("/distkvm/pci/slow-owner", test_slow_owner);
    qtest_add_func("/distkvm/pci/slow-owner-ecam", test_slow_owner_ecam);
    qtest_add_func("/distkvm/pci/memory-bar", test_memory_bar);
    qtest_add_func("/distkvm/pci/display-added", test_display_added);
    qtest_add_func("/distkvm/pci/msi-to-ram", test_msi_to_ram);
    qtest_add_func("/distkvm/pci/msi-by-turns", test_msi_by_turns);
    qtest_add_func("/distkvm/pci/msi-of-reset", test_msi_of_reset);
    qtest_add_func("/distkvm/pci/query", test_query);
    qtest_add_func("/distkvm/pci/query-alone", test_query_alone);
    qtest_add_func("/distkvm/pci/query-numa", test_query_numa);
    qtest_add_func("/distkvm/pci/boot-order", test_boot_order);
    qtest_add_func("/distkvm/pci/boot-order-q35", test_boot_order_q35);
    qtest_add_func("/distkvm/pci/boot-order-ejected", test_boot_order_ejected);
    qtest_add_func("/distkvm/pci/reset-in-flight", test_reset_in_flight);
    qtest_add_func("/distkvm/pci/reset-q35", test_reset_q35);
    qtest_add_func("/distkvm/pci/sleep", test_sleep);
    qtest_add_func("/distkvm/pci/names", test_names);
    hotplug_tests_add();
}
