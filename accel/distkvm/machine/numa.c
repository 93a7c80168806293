/*
 * distkvm: the guest knows its nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-machine.h"
#include "qemu/error-report.h"
#include "qemu/option_int.h"
#include "system/distkvm.h"
#include "system/numa.h"
#include "accel/distkvm/config.h"
#include "accel/distkvm/node.h"
#include "numa.h"

static GuestNumaOptions options;
static bool added, split;

/* Not one that QMP gives later, with --preconfig. */
static bool is_given(void)
{
    return !QTAILQ_EMPTY(&qemu_numa_opts.head);
}

static bool is_wanted(void)
{
    return options.on && distkvm->nodes > 1 && !is_given();
}

static void split_sockets(CpuTopology *smp)
{
    unsigned size = smp->cpus / smp->sockets;
    unsigned most = cpu_places_socket(&distkvm->cpus, distkvm->nodes, size);

    if (most == size) {
        return;
    }
    if (smp->dies * smp->modules != 1 || most % smp->threads) {
        warn_report("distkvm: a socket of the guest has vCPUs of several"
                    " nodes, and its caches look shared: use -smp with sockets"
                    " of %u vCPUs, or vcpus=", most);
        return;
    }
    smp->sockets = smp->cpus / most;
    smp->cores = most / smp->threads;
    split = true;
}

void guest_numa_say(void)
{
    const CpuTopology *smp = &current_machine->smp;

    if (split) {
        info_report("distkvm: no socket of the guest has vCPUs of two nodes:"
                    " -smp sockets=%u,cores=%u,threads=%u; numa=off keeps what"
                    " was given", smp->sockets, smp->cores, smp->threads);
    }
}

int guest_numa_distance(void)
{
    return added ? options.distance : 0;
}

void guest_numa_init(MachineState *ms, const GuestNumaOptions *given)
{
    options = *given;
    if (is_wanted()) {
        split_sockets(&ms->smp);
    }
}

/* Not "-numa node,mem=": machine types refuse it, and it names a backend. */
static bool add_node(MachineState *ms, CohNodeId n, const ClusterMap *map,
                     Error **errp)
{
    NumaOptions node = {
        .type = NUMA_OPTIONS_TYPE_NODE,
        .u.node = { .has_nodeid = true, .nodeid = n },
    };
    uint16List *cpus = NULL;
    ERRP_GUARD();

    for (unsigned i = ms->smp.max_cpus; i--; ) {
        if (distkvm_cpu_node(i) == n) {
            QAPI_LIST_PREPEND(cpus, i);
        }
    }
    node.u.node.has_cpus = cpus;
    node.u.node.cpus = cpus;
    set_numa_options(ms, &node, errp);
    qapi_free_uint16List(cpus);
    ms->numa_state->nodes[n].node_mem = map->share[n] << COH_PAGE_BITS;
    return !*errp;
}

static bool add_distances(MachineState *ms, Error **errp)
{
    ERRP_GUARD();

    for (unsigned a = 0; a < distkvm->nodes; a++) {
        for (unsigned b = a + 1; b < distkvm->nodes; b++) {
            NumaOptions dist = {
                .type = NUMA_OPTIONS_TYPE_DIST,
                .u.dist = { .src = a, .dst = b, .val = options.distance },
            };

            set_numa_options(ms, &dist, errp);
            if (*errp) {
                return false;
            }
        }
    }
    return true;
}

bool distkvm_numa_complete(MachineState *ms, Error **errp)
{
    ClusterMap *map;
    bool ok = true;

    if (!distkvm || !is_wanted() || ms->numa_state->num_nodes) {
        return true;
    }
    map = distkvm_config_map(distkvm, options.mem, ms->ram_size, errp);
    if (!map) {
        return false;
    }
    for (unsigned n = 0; ok && n < distkvm->nodes; n++) {
        ok = add_node(ms, n, map, errp);
    }
    cluster_map_free(map);
    added = ok && add_distances(ms, errp);
    return added;
}
