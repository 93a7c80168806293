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

/*
 * q35: half of an access of 8 bytes is performed by the owner, and the other
 * half by node 0.
 */
static void test_ecam(void)
{
    const uint64_t port = ECAM + (ROOT_OF_NODE_1 << 20 | PCI_DEVFN(1, 0) << 12);
    const uint64_t edu = ECAM + (BUS_OF_PORT << 20);
    QTestState *boot;
    Pair p;

    pair_start_nodes(&p, 2, &(PairShape) { .others = "-device edu,id=e" });
    pair_wait_map(&p);
    boot = p.node[0];
    config_write(boot, 0, 0, MCH_PCIEXBAR + 4, 0);
    config_write(boot, 0, 0, MCH_PCIEXBAR, ECAM | 1);
    g_assert_cmphex(qtest_readw(boot, port + PCI_VENDOR_ID), ==, 0x1b36);
    qtest_writel(boot, port + PCI_PRIMARY_BUS, BUS_OF_PORT << 16 |
                 BUS_OF_PORT << 8 | ROOT_OF_NODE_1);
    qtest_writew(boot, edu + PCI_COMMAND, PCI_COMMAND_MASTER);
    for (int n = 0; n < 2; n++) {
        uint64_t found = qtest_readq(p.node[n], edu + PCI_VENDOR_ID);

        g_assert_cmphex(found & 0xffffffff, ==, 0x11e81234);
        g_assert_cmphex(found >> 32 & 0xffff, ==, PCI_COMMAND_MASTER);
        /* STATUS is the owner's to tell. */
        g_assert_cmphex(found >> 48 & PCI_STATUS_CAP_LIST, !=, 0);
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

/* A lost owner: reads give ones, and nothing waits. */
static void test_owner_lost(void)
{
    Pair p;

    start(&p);
    g_assert_cmpint(kill(p.pid[1], SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(p.pid[1], NULL, 0), ==, p.pid[1]);
    pair_wait_flag(p.node[0], "failed");
    g_assert_cmphex(qtest_readl(p.node[0], WINDOW + EDU_ID), ==, 0xffffffff);
    config_read(p.node[0], BUS_BEHIND, EDU, PCI_STATUS);
    config_write(p.node[0], BUS_BEHIND, EDU, PCI_COMMAND, 0);
    qtest_quit(p.node[0]);
    pair_remove_sockets(&p);
}

void pci_tests_add(void)
{
    qtest_add_func("/distkvm/pci/config", test_config);
    qtest_add_func("/distkvm/pci/bar", test_bar);
    qtest_add_func("/distkvm/pci/follower", test_follower_configures);
    qtest_add_func("/distkvm/pci/reset", test_reset);
    qtest_add_func("/distkvm/pci/ecam", test_ecam);
    qtest_add_func("/distkvm/pci/line", test_line);
    qtest_add_func("/distkvm/pci/dma", test_dma);
    qtest_add_func("/distkvm/pci/owner-lost", test_owner_lost);
}
