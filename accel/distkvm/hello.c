/*
 * distkvm: what nodes must agree on before they are one machine
 *
 * Each node states its facts; whatever differs is refused on both sides, by
 * name and with both values.  Spec: docs/wire-format.rst, "Hello".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/utsname.h>
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "crypto/hash.h"
#include "hw/boards.h"
#include "qemu/datadir.h"
#include "qemu-version.h"
#include "distkvm-internal.h"
#include "vmi-tsc.h"

#define HELLO_MAGIC "distkvm"
#define FACT_PROTOCOL "protocol version"

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

static char *shares(const uint64_t *first, unsigned unit)
{
    GString *text = g_string_new(NULL);

    for (unsigned n = 0; n < distkvm->nodes; n++) {
        g_string_append_printf(text, "%s%" PRIu64, n ? "/" : "",
                               (first[n + 1] - first[n]) * unit);
    }
    return g_string_free(text, false);
}

static char *vcpu_shares(void)
{
    uint64_t first[COH_NODES_MAX + 1];

    for (unsigned n = 0; n <= distkvm->nodes; n++) {
        first[n] = distkvm->map.cpu_first[n];
    }
    return shares(first, 1);
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

/* Takes over @value. */
static void put(QDict *facts, const char *name, char *value)
{
    qdict_put_str(facts, name, value);
    g_free(value);
}

static QDict *facts_make(void)
{
    QDict *facts = qdict_new();
    struct utsname host;

    uname(&host);
    put(facts, FACT_PROTOCOL, g_strdup_printf("%d", WIRE_VERSION));
    put(facts, "QEMU version", g_strdup(QEMU_VERSION));
    put(facts, "distkvm version", g_strdup(DISTKVM_VERSION));
    put(facts, "cluster name", g_strdup(distkvm->cluster));
    put(facts, "number of nodes", g_strdup_printf("%u", distkvm->nodes));
    put(facts, "host architecture", g_strdup(host.machine));
    put(facts, "machine type",
        g_strdup(object_class_get_name(object_get_class(
            OBJECT(current_machine)))));
    put(facts, "CPU topology", topology());
    put(facts, "vCPUs of the nodes", vcpu_shares());
    put(facts, "RAM size",
        g_strdup_printf("%" PRIu64, distkvm->ram_bytes));
    put(facts, "RAM of the nodes",
        shares(distkvm->map.page_first, COH_PAGE_SIZE));
    return facts;
}

QDict *hello_make(void)
{
    QDict *hello = member_message("hello");
    g_autofree char *hash = firmware();

    qdict_put_str(hello, "magic", HELLO_MAGIC);
    qdict_put_int(hello, "node", distkvm->id);
    qdict_put(hello, "facts", facts_make());
    qdict_put(hello, "cpu", cpu_model_make());
    vmi_tsc_hello(hello);
    qdict_put_str(hello, "firmware", hash);
    qdict_put_bool(hello, "own-firmware", insists_on_firmware());
    return hello;
}

static const char *text_of(const QDict *dict, const char *name)
{
    return qdict_get_try_str(dict, name) ?: "(not stated)";
}

static bool fact_agrees(const QDict *ours, const QDict *theirs,
                        const char *name, int node, Error **errp)
{
    const char *here = text_of(ours, name);
    const char *there = text_of(theirs, name);

    if (strcmp(here, there)) {
        error_setg(errp, "%s differs: '%s' on this node (%d), '%s' on"
                   " node %d", name, here, distkvm->id, there, node);
        return false;
    }
    return true;
}

static bool facts_agree(const QDict *ours, const QDict *theirs, int node,
                        Error **errp)
{
    const QDictEntry *entry;

    /* First what decides whether the others can be understood at all. */
    if (!fact_agrees(ours, theirs, FACT_PROTOCOL, node, errp)) {
        return false;
    }
    for (entry = qdict_first(ours); entry; entry = qdict_next(ours, entry)) {
        if (!fact_agrees(ours, theirs, qdict_entry_key(entry), node, errp)) {
            return false;
        }
    }
    return true;
}

bool hello_check(const QDict *ours, const QDict *theirs, CohNodeId *from,
                 Error **errp)
{
    QDict *facts = qdict_get_qdict(theirs, "facts");
    int64_t node = qdict_get_try_int(theirs, "node", -1);

    if (strcmp(text_of(theirs, "magic"), HELLO_MAGIC) || !facts) {
        error_setg(errp, "the peer does not speak distkvm");
        return false;
    }
    if (node < 0 || node >= distkvm->nodes) {
        error_setg(errp, "the peer says it is node %" PRId64 ", but this"
                   " cluster has %u nodes", node, distkvm->nodes);
        return false;
    }
    if (node == distkvm->id) {
        error_setg(errp, "two nodes have the id %d", distkvm->id);
        return false;
    }
    if (!facts_agree(qdict_get_qdict(ours, "facts"), facts, node, errp) ||
        !cpu_model_agrees(qdict_get_qdict(ours, "cpu"),
                          qdict_get_qdict(theirs, "cpu"), node, errp) ||
        !vmi_tsc_agrees(ours, theirs, node, errp)) {
        return false;
    }
    if (qdict_get_bool(ours, "own-firmware") &&
        qdict_get_try_bool(theirs, "own-firmware", false) &&
        strcmp(text_of(ours, "firmware"), text_of(theirs, "firmware"))) {
        error_setg(errp, "firmware differs: %.16s on this node (%d), %.16s on"
                   " node %" PRId64, text_of(ours, "firmware"), distkvm->id,
                   text_of(theirs, "firmware"), node);
        return false;
    }
    *from = node;
    return true;
}
