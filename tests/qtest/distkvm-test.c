/*
 * distkvm: two nodes that execute no guest code, driven from outside
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "distkvm/dma-test.h"
#include "distkvm/pair.h"
#include "distkvm/pci-test.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"

#define PORT_CMOS_INDEX 0x70
#define PORT_CMOS_DATA 0x71
/* q35's PAM0: whether 0xf0000 is firmware or RAM. */
#define MCH_PAM0 0x90
#define PAM0_RAM 0x30

/* Bytes that one node writes, the other reads; homes do not matter. */
static void test_memory(void)
{
    static const uint64_t at[] = { PAGE_OF_NODE_0, PAGE_OF_NODE_1 };
    Pair p;

    pair_start(&p);
    for (int i = 0; i < ARRAY_SIZE(at); i++) {
        for (int n = 0; n < 20; n++) {
            QTestState *writer = p.node[n & 1], *reader = p.node[!(n & 1)];

            qtest_writeq(writer, at[i] + 8 * n, 0x1111111111111111ull * n);
            g_assert_cmphex(qtest_readq(reader, at[i] + 8 * n), ==,
                            0x1111111111111111ull * n);
            /* A neighbour of the word, written by the other side. */
            qtest_writeb(reader, at[i] + 2048 + n, n);
            g_assert_cmphex(qtest_readb(writer, at[i] + 2048 + n), ==, n);
        }
    }
    pair_end(&p);
}

/* A read shares a page, a write owns it; untouched pages need no data. */
static void test_ownership(void)
{
    int64_t owned, revocations, pages_sent, zero_sent;
    const uint64_t at = PAGE_OF_NODE_1 + 0x10000;
    Pair p;

    pair_start(&p);
    pages_sent = pair_counter(p.node[1], "pages-sent");
    zero_sent = pair_counter(p.node[1], "zero-pages-sent");
    owned = pair_counter(p.node[0], "owned-pages");
    g_assert_cmphex(qtest_readl(p.node[0], at), ==, 0);
    /* First touch by another node than the home: owned, and no data sent. */
    g_assert_cmpint(pair_counter(p.node[0], "owned-pages"), ==, owned + 1);
    g_assert_cmpint(pair_counter(p.node[1], "pages-sent"), ==, pages_sent);
    g_assert_cmpint(pair_counter(p.node[1], "zero-pages-sent"), ==, zero_sent);

    qtest_writel(p.node[0], at, 5);
    g_assert_cmphex(qtest_readl(p.node[1], at), ==, 5);
    /* The read has not taken the page away, only the right to write. */
    g_assert_cmpint(pair_counter(p.node[0], "owned-pages"), ==, owned);
    revocations = pair_counter(p.node[0], "revocations");
    qtest_writel(p.node[1], at, 6);
    g_assert_cmpint(pair_counter(p.node[0], "revocations"), ==, revocations + 1);
    g_assert_cmphex(qtest_readl(p.node[0], at), ==, 6);
    pair_end(&p);
}

/* A follower's port and memory accesses reach node 0's devices. */
static void test_io(void)
{
    QTestState *boot, *follower;
    Pair p;

    pair_start(&p);
    boot = p.node[0];
    follower = p.node[1];
    qtest_outb(follower, PORT_CMOS_INDEX, 0x40);
    qtest_outb(follower, PORT_CMOS_DATA, 0xa5);
    qtest_outb(boot, PORT_CMOS_INDEX, 0x40);
    g_assert_cmphex(qtest_inb(boot, PORT_CMOS_DATA), ==, 0xa5);
    /* The IOAPIC: select its version register on one node, read it there. */
    qtest_writel(follower, 0xfec00000, 1);
    g_assert_cmphex(qtest_readl(follower, 0xfec00010), ==, 0x170020);
    g_assert_cmphex(qtest_readl(boot, 0xfec00000), ==, 1);
    pair_end(&p);
}

/* An MSI that node 0 sends to node 1's vCPU arrives in its local APIC. */
static void test_irq(void)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;
    bool arrived = false;
    Pair p;

    pair_start(&p);
    qtest_writel(p.node[0], 0xfee01000, 0x41);
    while (!arrived) {
        g_autofree char *text = qtest_hmp(p.node[1], "info lapic 1");

        arrived = strstr(text, "IRR\t 65");
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    pair_end(&p);
}

static char *log_text(const Pair *p, int n)
{
    g_autofree char *path = pair_log_path(p, n);
    char *text;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* Frames of class B that node @n has counted; 0: none yet. */
static int64_t frames(const Pair *p, int n, const char *event)
{
    g_autofree char *text = log_text(p, n);
    const char *at;

    at = g_strrstr(text, event);
    at = at ? strstr(at, " frames ") : NULL;
    return at ? g_ascii_strtoll(at + strlen(" frames "), NULL, 10) : 0;
}

/* Node @from has sent as many frames as the other one has received. */
static bool counts_agree(const Pair *p, int from, int64_t least)
{
    int64_t sent = frames(p, from, "distkvm_class_b_sent ");

    return sent >= least &&
           sent == frames(p, !from, "distkvm_class_b_received ");
}

/* Device accesses, their answers and interrupts: no frame is under way. */
static void test_frames(void)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;
    const int accesses = 100, interrupts = 50;
    Pair p;

    pair_start(&p);
    for (int i = 0; i < accesses; i++) {
        qtest_outb(p.node[1], PORT_CMOS_INDEX, i);
        if (i < interrupts) {
            qtest_writel(p.node[0], 0xfee01000, 0x41);
        }
    }
    while (!counts_agree(&p, 0, accesses + interrupts) ||
           !counts_agree(&p, 1, accesses)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20 * 1000);
    }
    pair_end(&p);
}

/* Fewer than 255 vCPUs, but their ids have gaps and go beyond: x2APIC. */
static void test_ids(void)
{
    Pair p;

    pair_start_nodes(&p, 2, &(PairShape) { .smp = "198,sockets=66,cores=3" });
    pair_wait_map(&p);
    for (int n = 0; n < 2; n++) {
        g_autoptr(QDict) answer = qtest_qmp(p.node[n],
            "{ 'execute': 'qom-get', 'arguments': {"
            " 'path': '/machine/unattached/device[0]',"
            " 'property': 'x2apic' } }");

        g_assert_true(qdict_get_bool(answer, "return"));
    }
    pair_end(&p);
}

static void set_pam0(QTestState *s, uint8_t value)
{
    qtest_outl(s, PORT_PCI_ADDRESS, 0x80000000 | MCH_PAM0);
    qtest_outb(s, PORT_PCI_DATA, value);
}

/* The answer to an access that changes the map waits for all nodes. */
static void test_map(void)
{
    uint32_t firmware;
    Pair p;

    pair_start(&p);
    firmware = qtest_readl(p.node[0], 0xffff0);
    g_assert_cmphex(firmware, !=, 0);
    /* Firmware is the same on a node that has not loaded it. */
    g_assert_cmphex(qtest_readl(p.node[1], 0xffff0), ==, firmware);

    set_pam0(p.node[1], PAM0_RAM);
    g_assert_cmphex(qtest_readl(p.node[1], 0xf0000 + 0x800), ==, 0);
    qtest_writel(p.node[1], 0xf0000 + 0x800, 0x12345678);
    g_assert_cmphex(qtest_readl(p.node[0], 0xf0000 + 0x800), ==, 0x12345678);
    set_pam0(p.node[1], 0);
    g_assert_cmphex(qtest_readl(p.node[1], 0xffff0), ==, firmware);
    pair_end(&p);
}

/* How often node 0 has told a change of its map, and the last of them. */
static int maps_told(const Pair *p, char **last)
{
    g_autofree char *text = log_text(p, 0);
    const char *event = "distkvm_memmap_tell ";
    int n = 0;

    for (const char *at = text; (at = strstr(at, event)); n++) {
        at += strlen(event);
        g_free(*last);
        *last = g_strndup(at, strcspn(at, "\n"));
    }
    return n;
}

static void config_write(QTestState *s, int devfn, int reg, uint32_t value)
{
    qtest_outl(s, PORT_PCI_ADDRESS, 0x80000000 | devfn << 8 | reg);
    qtest_outl(s, PORT_PCI_DATA, value);
}

/*
 * Followers find devices by the address: nothing is told when one is mapped or
 * unmapped.  Of a change of RAM, what has changed is told, once.
 */
static void test_map_told(void)
{
    const uint64_t bar = 0xfe100000;
    const int devfn = 5 << 3;
    g_autofree char *last = NULL;
    int before;
    Pair p;

    pair_start_nodes(&p, 2, &(PairShape) { .devices = "-device edu,addr=5" });
    pair_wait_map(&p);
    before = maps_told(&p, &last);
    g_assert_cmpint(before, >, 0);
    config_write(p.node[1], devfn, 0x10, bar);
    for (int i = 0; i < 20; i++) {
        config_write(p.node[i & 1], devfn, 4, 2);
        g_assert_cmphex(qtest_readl(p.node[1], bar), ==, 0x10000ed);
        config_write(p.node[i & 1], devfn, 4, 0);
        g_assert_cmphex(qtest_readl(p.node[1], bar), !=, 0x10000ed);
    }
    g_assert_cmpint(maps_told(&p, &last), ==, before);

    for (int i = 1; i <= 10; i++) {
        set_pam0(p.node[1], i & 1 ? PAM0_RAM : 0);
        g_assert_cmpint(maps_told(&p, &last), ==, before + i);
    }
    /* The map has a dozen sections; one became another. */
    g_assert_cmpstr(last, ==, "space 0 removed 2 added 2");
    pair_end(&p);
}

#include "distkvm/devices.c.inc"
#include "distkvm/lines.c.inc"
#include "distkvm/management.c.inc"
#include "distkvm/cap.c.inc"

/* The last view that node @n has traced. */
static void wait_view(const Pair *p, int n, const char *view)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;
    bool seen = false;

    while (!seen) {
        g_autofree char *text = log_text(p, n);
        const char *last = g_strrstr(text, "distkvm_view ");

        seen = last && g_str_has_prefix(last + strlen("distkvm_view "), view);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20 * 1000);
    }
}

/* A lost node is noticed; the other one stops, answers, and ends. */
static void test_loss(void)
{
    Pair p;

    pair_start(&p);
    wait_view(&p, 0, "number 2 members 0x3\n");
    wait_view(&p, 1, "number 2 members 0x3\n");
    qtest_writel(p.node[1], PAGE_OF_NODE_1, 1);
    /* Not qtest_kill_qemu(): that asks it to end in good order. */
    g_assert_cmpint(kill(p.pid[1], SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(p.pid[1], NULL, 0), ==, p.pid[1]);
    pair_wait_flag(p.node[0], "failed");
    wait_view(&p, 0, "number 3 members 0x1\n");
    g_assert_true(pair_flag(p.node[0], "formed"));
    qtest_quit(p.node[0]);
    pair_remove_sockets(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/distkvm/memory", test_memory);
    qtest_add_func("/distkvm/ownership", test_ownership);
    qtest_add_func("/distkvm/io", test_io);
    qtest_add_func("/distkvm/irq", test_irq);
    qtest_add_func("/distkvm/frames", test_frames);
    qtest_add_func("/distkvm/ids", test_ids);
    qtest_add_func("/distkvm/map", test_map);
    qtest_add_func("/distkvm/map-told", test_map_told);
    qtest_add_func("/distkvm/owner", test_owner);
    qtest_add_func("/distkvm/dma-between-devices", test_dma_between_devices);
    qtest_add_func("/distkvm/vector-moves", test_vector_moves);
    qtest_add_func("/distkvm/vector-wanders", test_vector_wanders);
    qtest_add_func("/distkvm/read-pushes", test_read_pushes);
    qtest_add_func("/distkvm/read-held-ends", test_read_held_ends);
    qtest_add_func("/distkvm/config-held-ends", test_config_held_ends);
    line_tests_add();
    qtest_add_func("/distkvm/loss", test_loss);
    management_tests_add();
    cap_tests_add();
    dma_tests_add();
    pci_tests_add();

    return g_test_run();
}
