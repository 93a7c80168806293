/*
 * NVMe's interrupt line and doorbells in memory
 *
 * A driver that has doorbells in memory writes the register only if the device
 * has asked for it, by the number at which it wants to be told next (the event
 * index).  The driver here consumes two completions one after the other, as
 * Linux does whose second one comes while it handles the first.  The line must
 * be low then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "libqtest.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define DEVFN_ISA (1 << 3)
#define DEVFN_NVME (4 << 3)
#define PIRQ_ROUTES 0x60
#define IRQ 11

#define REGS 0xe0000000u
#define REG_CC 0x14
#define REG_CSTS 0x1c
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define CC_ENABLE (4 << 20 | 6 << 16 | 1)
#define CSTS_READY 1

/* The queues' entries are of 64 and 16 bytes. */
#define ENTRIES 8
#define SQ_OF(queue) (0x100000 + (queue) * 0x2000)
#define CQ_OF(queue) (SQ_OF(queue) + 0x1000)
#define SHADOW 0x110000
#define EVENT_INDEX 0x111000
/* From the first register, or from the first doorbell in memory. */
#define TAIL_OF(queue) ((queue) * 8)
#define HEAD_OF(queue) ((queue) * 8 + 4)
#define DOORBELLS (REGS + 0x1000)

#define CREATE_SQ 1
#define CREATE_CQ 5
#define SET_DOORBELLS 0x7c
#define FLUSH 0

#define WAIT_US (10 * G_USEC_PER_SEC)

static void config_write(QTestState *s, int devfn, int at, uint32_t value)
{
    qtest_outl(s, PCI_ADDRESS, 1u << 31 | devfn << 8 | at);
    qtest_outl(s, PCI_DATA, value);
}

static void start(QTestState *s)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    config_write(s, DEVFN_ISA, PIRQ_ROUTES, 0x01010101 * IRQ);
    config_write(s, DEVFN_NVME, 0x10, REGS);
    config_write(s, DEVFN_NVME, 0x14, 0);
    config_write(s, DEVFN_NVME, 0x04, 6);
    qtest_writel(s, REGS + REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
    qtest_writeq(s, REGS + REG_ASQ, SQ_OF(0));
    qtest_writeq(s, REGS + REG_ACQ, CQ_OF(0));
    qtest_writel(s, REGS + REG_CC, CC_ENABLE);
    while (!(qtest_readl(s, REGS + REG_CSTS) & CSTS_READY)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

/* Request @number of @queue: without waiting. */
static void submit(QTestState *s, int queue, int number, uint8_t command,
                   const uint64_t *prp, uint32_t dw10, uint32_t dw11)
{
    uint64_t at = SQ_OF(queue) + number * 64;

    qtest_memset(s, at, 0, 64);
    qtest_writel(s, at, command);
    qtest_writel(s, at + 4, queue ? 1 : 0);
    qtest_writeq(s, at + 24, prp ? prp[0] : 0);
    qtest_writeq(s, at + 32, prp ? prp[1] : 0);
    qtest_writel(s, at + 40, dw10);
    qtest_writel(s, at + 44, dw11);
    qtest_writel(s, SHADOW + TAIL_OF(queue), number + 1);
    qtest_writel(s, DOORBELLS + TAIL_OF(queue), number + 1);
}

/* It has ended, without an error. */
static void wait_completion(QTestState *s, int queue, int number)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;
    uint16_t status;

    while (!((status = qtest_readw(s, CQ_OF(queue) + number * 16 + 14)) & 1)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_cmphex(status, ==, 1);
}

static void admin(QTestState *s, int number, uint8_t command, uint64_t prp1,
                  uint64_t prp2, uint32_t dw10, uint32_t dw11)
{
    submit(s, 0, number, command, (uint64_t[]) { prp1, prp2 }, dw10, dw11);
    wait_completion(s, 0, number);
    qtest_writel(s, DOORBELLS + HEAD_OF(0), number + 1);
}

/* The driver has consumed all of queue 1 before @head. */
static void consume(QTestState *s, uint16_t head)
{
    uint16_t old = qtest_readl(s, SHADOW + HEAD_OF(1));
    uint16_t event;

    qtest_writel(s, SHADOW + HEAD_OF(1), head);
    event = qtest_readl(s, EVENT_INDEX + HEAD_OF(1));
    if ((uint16_t)(head - event - 1) < (uint16_t)(head - old)) {
        qtest_writel(s, DOORBELLS + HEAD_OF(1), head);
    }
}

static void wait_line(QTestState *s, bool level)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    while (qtest_get_irq(s, IRQ) != level) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        /* It reads what QEMU has said. */
        qtest_readl(s, REGS + REG_CSTS);
    }
}

/* The device has heard of the first one, in its main loop with eventfds. */
static void wait_heard(QTestState *s)
{
    gint64 end = g_get_monotonic_time() + WAIT_US / 20;

    while (qtest_readl(s, EVENT_INDEX + HEAD_OF(1)) != 1 &&
           g_get_monotonic_time() < end) {
        g_usleep(1000);
    }
}

static void test_two_completions(gconstpointer eventfd)
{
    QTestState *s = qtest_initf("-machine pc -drive driver=null-co,if=none,id=d"
                                " -device nvme,serial=1,drive=d,addr=4,"
                                "ioeventfd=%s", (const char *)eventfd);

    qtest_irq_intercept_in(s, "ioapic");
    start(s);
    admin(s, 0, SET_DOORBELLS, SHADOW, EVENT_INDEX, 0, 0);
    /* Contiguous, with interrupts; contiguous, of completion queue 1. */
    admin(s, 1, CREATE_CQ, CQ_OF(1), 0, (ENTRIES - 1) << 16 | 1, 3);
    admin(s, 2, CREATE_SQ, SQ_OF(1), 0, (ENTRIES - 1) << 16 | 1, 1 << 16 | 1);
    wait_line(s, false);
    for (int i = 0; i < 2; i++) {
        submit(s, 1, i, FLUSH, NULL, 0, 0);
        wait_completion(s, 1, i);
    }
    wait_line(s, true);
    consume(s, 1);
    wait_heard(s);
    g_assert_true(qtest_get_irq(s, IRQ));
    consume(s, 2);
    wait_line(s, false);
    qtest_quit(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_data_func("/nvme-doorbell/two-completions", "off",
                        test_two_completions);
    qtest_add_data_func("/nvme-doorbell/two-completions/eventfd", "on",
                        test_two_completions);
    return g_test_run();
}
