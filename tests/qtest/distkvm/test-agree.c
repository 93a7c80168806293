/*
 * Facts that two machines must have in common, and their words if they do not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qlist.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/machine/hello-agree.h"
#include "accel/distkvm/vmi/tsc.h"
#include "machine-hello.h"

#define KHZ 2500000

static QDict *ours, *theirs;

static void both(void)
{
    ours = machine_hello();
    theirs = machine_hello();
}

static void neither(void)
{
    qobject_unref(ours);
    qobject_unref(theirs);
}

/* @node's hello is refused, in words that have @words in them. */
static void refused(int node, const char *words)
{
    Error *err = NULL;

    g_assert_false(machine_hello_fits(ours, theirs, node, &err));
    g_assert_nonnull(err);
    if (!strstr(error_get_pretty(err), words)) {
        g_error("'%s' does not say '%s'", error_get_pretty(err), words);
    }
    error_free(err);
}

static void taken(int node)
{
    g_assert_true(machine_hello_fits(ours, theirs, node, &error_abort));
}

static void test_alike(void)
{
    both();
    taken(0);
    taken(2);
    neither();
}

static void test_features(void)
{
    QDict *cpu;

    both();
    cpu = qdict_get_qdict(theirs, "cpu");
    qlist_append_str(qobject_to(QList, qdict_get(cpu, "features")), "avx512f");
    refused(2, "node 2 lacks none; node 1 lacks avx512f");
    refused(2, "cpu-baseline");
    qdict_put(cpu, "features", qlist_new());
    refused(2, "node 2 lacks aes avx avx2 sse2 xsave");
    qdict_put_str(cpu, "features", "all of them");
    refused(2, "does not state its CPU model");
    qdict_del(theirs, "cpu");
    refused(2, "does not state its CPU model");
    neither();
}

static void test_other_cpu(void)
{
    static const struct {
        const char *key, *value, *words;
    } rows[] = {
        { "name", "Skylake", "CPU model differs" },
        { "vendor", "GenuineIntel", "vendor=" },
        { "xsave", "2: 256 at 832", "XSAVE" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        both();
        qdict_put_str(qdict_get_qdict(theirs, "cpu"), rows[i].key,
                      rows[i].value);
        refused(0, rows[i].words);
        refused(0, rows[i].value);
        neither();
    }
    both();
    qdict_put_int(qdict_get_qdict(theirs, "cpu"), "address-bits", 46);
    refused(0, "40 bits on this node (1), 46 on node 0");
    neither();
}

/* This node is 1: node 2 would have to adapt to it, and it to node 0. */
static void test_tsc(void)
{
    both();
    /* As good as equal: 250 parts per million. */
    qdict_put_int(theirs, "tsc-khz", KHZ + 625);
    taken(0);
    qdict_put_int(theirs, "tsc-khz", KHZ + 626);
    refused(0, "the processor of node 1 cannot scale it");
    refused(2, "the processor of node 2 cannot scale it");
    qdict_put_bool(theirs, "tsc-scaling", true);
    refused(0, "use hosts of one frequency, or vmi=tcg");
    taken(2);
    qdict_put_bool(theirs, "tsc-scaling", false);
    qdict_put_bool(ours, "tsc-scaling", true);
    taken(0);
    refused(2, "2500000 kHz on this node (1), 2500626 kHz on node 2");
    /* TCG counts at any rate. */
    qdict_put_int(theirs, "tsc-khz", 0);
    taken(2);
    qdict_put_int(theirs, "tsc-khz", -1);
    refused(2, "absurd");
    qdict_put_int(theirs, "tsc-khz", INT64_MAX);
    refused(2, "absurd");
    qdict_del(theirs, "tsc-khz");
    refused(2, "absurd");
    neither();
}

static void test_firmware(void)
{
    both();
    qdict_put_str(theirs, "firmware", "0123456789abcdef0123");
    refused(0, "firmware differs");
    /* It takes node 0's. */
    qdict_put_bool(theirs, "own-firmware", false);
    taken(0);
    neither();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    distkvm = g_new0(DistKVM, 1);
    distkvm->id = 1;
    distkvm->nodes = 3;
    g_test_add_func("/agree/alike", test_alike);
    g_test_add_func("/agree/cpu-features", test_features);
    g_test_add_func("/agree/other-cpu", test_other_cpu);
    g_test_add_func("/agree/tsc", test_tsc);
    g_test_add_func("/agree/firmware", test_firmware);
    return g_test_run();
}
