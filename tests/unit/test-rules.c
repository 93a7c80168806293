/*
 * distkvm: tests of who may say what
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "accel/distkvm/wire/rules.h"

static const char *frame(uint8_t type, uint8_t sub, uint32_t len,
                         CohNodeId from, CohNodeId self, Phase phase)
{
    const WireFrame f = { .type = type, .sub = sub, .len = len, .from = from };

    return rules_frame(&f, self, phase);
}

/* A frame that goes from @from to @to when formed, and not the other way. */
static void one_way(uint8_t type, uint8_t sub, uint32_t len, CohNodeId from,
                    CohNodeId to)
{
    g_assert_null(frame(type, sub, len, from, to, PHASE_FORMED));
    g_assert_nonnull(frame(type, sub, len, to, from, PHASE_FORMED));
}

static void test_roles(void)
{
    one_way(WIRE_EOI, 0, 0, 2, 0);
    one_way(WIRE_PIC, 0, 0, 0, 3);
    one_way(WIRE_PIC_ACK, 0, 0, 3, 0);
    one_way(WIRE_PIC_VECTOR, 0, 0, 0, 3);
    one_way(WIRE_PCI_CONFIG, WIRE_IO_READ, 0, 0, 2);
    one_way(WIRE_PCI_CHANGED, 0, WIRE_PAYLOAD_MAX, 2, 0);
    one_way(WIRE_PCI_LINE, 0, 0, 2, 0);
    one_way(WIRE_PCI_RESET, 0, 0, 0, 2);
    one_way(WIRE_PCI_MSI, 0, 0, 2, 0);
    one_way(WIRE_TOKEN, WIRE_TOKEN_TAKE, 0, 1, 0);
    one_way(WIRE_TOKEN, WIRE_TOKEN_RELEASE, 0, 1, 0);
    one_way(WIRE_TOKEN, WIRE_TOKEN_GRANT, 0, 0, 1);
    /* Between followers: pages, interrupts, and accesses of their devices. */
    g_assert_nonnull(frame(WIRE_PIC_ACK, 0, 0, 1, 2, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_PIC_VECTOR, 0, 0, 1, 2, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_TOKEN, WIRE_TOKEN_GRANT, 0, 1, 2,
                           PHASE_FORMED));
    g_assert_null(frame(WIRE_IRQ, WIRE_IRQ_FIXED, 0, 1, 2, PHASE_FORMED));
    g_assert_null(frame(WIRE_COH, COH_EV_GETS, 0, 1, 2, PHASE_FORMED));
    for (CohNodeId from = 0; from < 3; from++) {
        CohNodeId to = (from + 1) % 3;

        g_assert_null(frame(WIRE_IO, WIRE_IO_WRITE, 0, from, to,
                            PHASE_FORMED));
        g_assert_null(frame(WIRE_IO_REPLY, 0, 0, to, from, PHASE_FORMED));
    }
}

/* Of payloads: a body is as long as its type says (test-body.c). */
static void test_lengths(void)
{
    g_assert_nonnull(frame(WIRE_IO, WIRE_IO_READ, 1, 1, 0, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_IO_REPLY, 0, 8, 0, 1, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_IRQ, WIRE_IRQ_NMI, 1, 0, 1, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_LATE, WIRE_LATE_AT_IT, 8, 0, 1,
                           PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_PING, WIRE_PING_ASK, COH_PAGE_SIZE + 1, 0,
                           1, PHASE_FORMED));
    g_assert_nonnull(frame(WIRE_PING, WIRE_PING_ANSWER, 0, 0, 1,
                           PHASE_FORMED));
    g_assert_null(frame(WIRE_PING, WIRE_PING_ASK, COH_PAGE_SIZE, 0, 1,
                        PHASE_KNOWN));
}

static void test_phases(void)
{
    g_assert_nonnull(frame(WIRE_IO, WIRE_IO_READ, 0, 1, 0, PHASE_KNOWN));
    /* A follower may know of the whole cluster before node 0 does. */
    g_assert_null(frame(WIRE_IO, WIRE_IO_READ, 0, 1, 0, PHASE_JOINED));
    g_assert_nonnull(frame(WIRE_TOKEN, WIRE_TOKEN_TAKE, 0, 1, 0,
                           PHASE_JOINED));
    g_assert_nonnull(frame(WIRE_IRQ, WIRE_IRQ_FIXED, 0, 1, 0, PHASE_KNOWN));
    g_assert_nonnull(frame(WIRE_PING, WIRE_PING_ASK, COH_PAGE_SIZE, 1, 0,
                           PHASE_GREETING));
    g_assert_nonnull(rules_message("map", 10, 0, 1, PHASE_KNOWN));
    g_assert_null(rules_message("map", 10, 0, 1, PHASE_JOINED));
    g_assert_nonnull(rules_message("address", 10, 1, 0, PHASE_GREETING));
    g_assert_null(rules_message("address", 10, 1, 0, PHASE_KNOWN));
    /* After it has joined, nobody joins. */
    g_assert_nonnull(rules_message("hello", 10, 1, 0, PHASE_KNOWN));
    g_assert_nonnull(rules_message("refuse", 10, 1, 0, PHASE_JOINED));
    g_assert_nonnull(rules_message("address", 10, 1, 0, PHASE_JOINED));
    g_assert_nonnull(rules_message("ready", 10, 1, 0, PHASE_FORMED));
    g_assert_nonnull(rules_message("reached", 10, 1, 0, PHASE_FORMED));
}

/* Every number that has no rule is refused, whatever else is right. */
static void test_unknown(void)
{
    static const uint32_t lengths[] = {
        0, COH_PAGE_SIZE,
    };
    unsigned known = 0;

    for (unsigned type = 0; type < 256; type++) {
        for (unsigned sub = 0; sub < 256; sub++) {
            bool any = false;

            for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
                any |= !frame(type, sub, lengths[i], 1, 0, PHASE_FORMED) ||
                       !frame(type, sub, lengths[i], 0, 1, PHASE_FORMED);
            }
            known += any;
        }
    }
    /*
     * Pages, interrupts, ends of them, accesses, answers, the 8259, tokens,
     * pings, late pages, flushes; PCI cycles, answers, lines, resets, messages.
     */
    g_assert_cmpint(known, ==, (COH_EV_REFUSE - COH_EV_GETS + 1) + 6 + 1 + 2 +
                    1 + 3 + 3 + 2 + 2 + 2 + 2 + 1 + 1 + 1 + 1);
    g_assert_nonnull(rules_message("", 1, 0, 1, PHASE_FORMED));
    g_assert_nonnull(rules_message("starts", 1, 0, 1, PHASE_FORMED));
}

static void test_messages(void)
{
    static const char *const of_node_0[] = {
        "map", "rom", "start", "stop", "reset-pause", "reset-do",
        "reset-resume", "leaving",
    };
    static const char *const of_followers[] = {
        "want-start", "want-stop", "stopped", "reset", "reset-reached",
        "powerdown", "shutdown",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(of_node_0); i++) {
        g_assert_null(rules_message(of_node_0[i], 9, 0, 1, PHASE_FORMED));
        g_assert_nonnull(rules_message(of_node_0[i], 9, 1, 0, PHASE_FORMED));
        g_assert_nonnull(rules_message(of_node_0[i], 9, 1, 2, PHASE_FORMED));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(of_followers); i++) {
        g_assert_null(rules_message(of_followers[i], 9, 2, 0, PHASE_FORMED));
        g_assert_nonnull(rules_message(of_followers[i], 9, 0, 1,
                                       PHASE_FORMED));
        g_assert_nonnull(rules_message(of_followers[i], 9, 1, 2,
                                       PHASE_FORMED));
    }
    g_assert_nonnull(rules_message("ping", 1 << 20, 1, 0, PHASE_FORMED));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rules/roles", test_roles);
    g_test_add_func("/rules/lengths", test_lengths);
    g_test_add_func("/rules/phases", test_phases);
    g_test_add_func("/rules/unknown", test_unknown);
    g_test_add_func("/rules/messages", test_messages);
    return g_test_run();
}
