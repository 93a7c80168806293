/*
 * distkvm: what nodes of one machine must agree on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/hash.h"
#include "hw/boards.h"
#include "qemu/datadir.h"
#include "qemu-version.h"
#include "distkvm-internal.h"
#include "hello.h"
#include "vmi-tsc.h"

static char *digest(const void *data, size_t len)
{
    char *text = NULL;

    qcrypto_hash_digest(QCRYPTO_HASH_ALGO_SHA256, data, len, &text, NULL);
    return text;
}

static char *topology(void)
{
    const CpuTopology *smp = &current_machine->smp;

    return g_strdup_printf("cpus=%u,sockets=%u,dies=%u,cores=%u,threads=%u,"
                           "maxcpus=%u", smp->cpus, smp->sockets, smp->dies,
                           smp->cores, smp->threads, smp->max_cpus);
}

static char *vcpu_shares(void)
{
    uint64_t first[COH_NODES_MAX + 1];

    for (unsigned n = 0; n <= distkvm->nodes; n++) {
        first[n] = distkvm->map.cpu_first[n];
    }
    return hello_shares(first, 1);
}

/* Digest of the firmware that this node's command line names, or "none". */
static char *firmware(void)
{
    const char *name = current_machine->firmware;
    g_autofree char *path = name ? qemu_find_file(QEMU_FILE_TYPE_BIOS, name)
                                 : NULL;
    g_autofree char *data = NULL;
    gsize len;

    return path && g_file_get_contents(path, &data, &len, NULL)
           ? digest(data, len) : g_strdup("none");
}

/* Firmware comes from node 0; only who was given another one insists on it. */
static bool insists_on_firmware(void)
{
    const char *usual =
        MACHINE_GET_CLASS(current_machine)->default_machine_opts;

    return distkvm_is_boot_node() ||
           (current_machine->firmware &&
            !(usual && strstr(usual, current_machine->firmware)));
}

QDict *hello_make(void)
{
    QDict *hello = hello_new();
    QDict *facts = qdict_get_qdict(hello, "facts");
    g_autofree char *hash = firmware();

    hello_state(facts, "QEMU version", g_strdup(QEMU_VERSION));
    hello_state(facts, "machine type",
                g_strdup(object_class_get_name(object_get_class(
                    OBJECT(current_machine)))));
    hello_state(facts, "CPU topology", topology());
    hello_state(facts, "vCPUs of the nodes", vcpu_shares());
    qdict_put(hello, "cpu", cpu_model_make());
    vmi_tsc_hello(hello);
    qdict_put_str(hello, "firmware", hash);
    qdict_put_bool(hello, "own-firmware", insists_on_firmware());
    return hello;
}

bool hello_machine_agrees(const QDict *ours, const QDict *theirs, int node,
                          Error **errp)
{
    return machine_hello_fits(ours, theirs, node, errp);
}

/* Not while it is compared: a peer that is refused must change nothing. */
void hello_machine_accept(const QDict *theirs, int node)
{
    vmi_tsc_peer(node, qdict_get_try_int(theirs, "tsc-khz", 0));
}
