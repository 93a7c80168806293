/*
 * distkvm: the hello of a node that is a machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/hash.h"
#include "hw/boards.h"
#include "qemu/datadir.h"
#include "accel/distkvm/cluster/hello.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/vmi/tsc.h"
#include "cpu-model.h"
#include "hello-machine.h"
#include "numa.h"
#include "qemu-version.h"
#include "system/numa.h"

/* Characters that are shown; the layout of many NUMA nodes has more. */
#define LONG_FACT 600

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

/* The first places: a hello is made before any vCPU can move. */
static char *vcpu_shares(void)
{
    uint64_t share[COH_NODES_MAX];

    for (unsigned n = 0; n < distkvm->nodes; n++) {
        share[n] = cpu_places_count(&distkvm->cpus, n);
    }
    return hello_shares(share);
}

/* ----------------------------------------------------- memory and NUMA */

/* vCPUs of the NUMA node @node, as "0-1,4". */
static void add_vcpus(GString *text, int node)
{
    const CPUArchIdList *cpus = current_machine->possible_cpus;
    int first = -1;
    bool any = false;

    for (int i = 0; i <= cpus->len; i++) {
        bool here = i < cpus->len && cpus->cpus[i].props.has_node_id &&
                    cpus->cpus[i].props.node_id == node;

        if (here && first < 0) {
            first = i;
        } else if (!here && first >= 0) {
            g_string_append_printf(text, any ? ",%d" : "%d", first);
            if (first < i - 1) {
                g_string_append_printf(text, "-%d", i - 1);
            }
            any = true;
            first = -1;
        }
    }
    if (!any) {
        g_string_append(text, "none");
    }
}

static void add_distances(GString *text, const NumaState *numa, int node)
{
    for (int i = 0; numa->have_numa_distance && i < numa->num_nodes; i++) {
        g_string_append_printf(text, "%s%d", i ? "/" : ", distances ",
                               numa->nodes[node].distance[i]);
    }
}

/* The layout that the guest is told, or "none". */
static char *numa_layout(void)
{
    const NumaState *numa = current_machine->numa_state;
    GString *text;

    /* Places of vCPUs and shares of RAM are facts of their own. */
    if (guest_numa_distance()) {
        return g_strdup_printf("one node for each of the cluster, distance %d",
                               guest_numa_distance());
    }
    text = g_string_new(NULL);
    if (!numa || !numa->num_nodes) {
        g_string_append(text, "none");
    }
    for (int n = 0; numa && n < numa->num_nodes; n++) {
        g_string_append_printf(text, "%snode %d: RAM %" PRIu64 ", vCPUs ",
                               n ? "; " : "", n, numa->nodes[n].node_mem);
        add_vcpus(text, n);
        add_distances(text, numa, n);
    }
    return g_string_free(text, false);
}

/*
 * A hello has little room, so of a long text only the beginning is stated, and
 * a digest of the whole.
 */
static void state_long(QDict *facts, const char *name, char *value)
{
    size_t len = strlen(value);

    if (len > LONG_FACT) {
        char *hash = digest(value, len);

        hello_state(facts, name, g_strdup_printf("%.*s... (%.16s)", LONG_FACT,
                                                 value, hash));
        g_free(hash);
        g_free(value);
    } else {
        hello_state(facts, name, value);
    }
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

/* Firmware comes from node 0; a node insists on one that it was given. */
static bool insists_on_firmware(void)
{
    const char *usual =
        MACHINE_GET_CLASS(current_machine)->default_machine_opts;

    return distkvm_is_boot_node() ||
           (current_machine->firmware &&
            !(usual && strstr(usual, current_machine->firmware)));
}

QDict *hello_machine_make(void)
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
    state_long(facts, "RAM backends (-object memory-backend-, -numa)",
               distkvm_ram_text());
    state_long(facts, "NUMA layout (-numa, numa=)", numa_layout());
    qdict_put(hello, "cpu", cpu_model_make());
    vmi_tsc_hello(hello);
    qdict_put_str(hello, "firmware", hash);
    qdict_put_bool(hello, "own-firmware", insists_on_firmware());
    return hello;
}

/* Not while it is compared: a peer that is refused must change nothing. */
void hello_machine_accept(const QDict *theirs, CohNodeId node)
{
    vmi_tsc_peer(node, qdict_get_try_int(theirs, "tsc-khz", 0));
}
