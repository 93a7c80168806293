/*
 * distkvm: the options of a node, parsed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/option.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "system/distkvm-dma.h"
#include "config.h"
#include "node.h"

/* Pages of others that a node can always work with. */
#define CAP_RESERVE (8 * MiB)

/* "unix:3:/dir" names three sockets in /dir. */
static char **unix_addresses(const char *text, Error **errp)
{
    g_auto(GStrv) part = g_strsplit(text, ":", 3);
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
    uint64_t nodes;

    if (g_strv_length(part) < 3 ||
        qemu_strtou64(part[1], NULL, 10, &nodes) < 0 ||
        part[2][0] != '/') {
        error_setg(errp, "distkvm: peers=%s is not of the form unix:N:/dir,"
                   " the number of nodes and a directory of their own", text);
        return NULL;
    }
    for (uint64_t n = 0; n < MIN(nodes, COH_NODES_MAX + 1); n++) {
        char *path = g_strdup_printf("%s/node-%" PRIu64 ".sock", part[2], n);

        if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
            error_setg(errp, "distkvm: peers=: '%s' is too long for the name"
                       " of a socket", path);
            g_free(path);
            return NULL;
        }
        g_ptr_array_add(all, g_strdup_printf("unix:%s", path));
        g_free(path);
    }
    g_ptr_array_add(all, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&all), false);
}

bool distkvm_over_unix(const DistKVM *d)
{
    return g_str_has_prefix(d->address[0], "unix:");
}

bool distkvm_config_peers(DistKVM *d, const char *text, int64_t node,
                          Error **errp)
{
    if (!text) {
        error_setg(errp, "distkvm: peers= is missing");
        error_append_hint(errp, "Name all nodes in order, this one included:"
                          " peers=hostA:7700/hostB:7700\n");
        return false;
    }
    d->address = g_str_has_prefix(text, "unix:")
                 ? unix_addresses(text, errp) : g_strsplit(text, "/", -1);
    if (!d->address) {
        return false;
    }
    d->nodes = g_strv_length(d->address);
    if (d->nodes < 2 || d->nodes > COH_NODES_MAX) {
        error_setg(errp, "distkvm: peers= names %u nodes; 2 to %d are"
                   " possible", d->nodes, COH_NODES_MAX);
        return false;
    }
    for (unsigned n = 0; n < d->nodes; n++) {
        g_autoptr(SocketAddress) address = socket_parse(d->address[n], errp);

        if (!address) {
            error_prepend(errp, "distkvm: peers=, node %u: ", n);
            return false;
        }
        if (address->type != SOCKET_ADDRESS_TYPE_INET &&
            !g_str_has_prefix(text, "unix:")) {
            error_setg(errp, "distkvm: peers=, node %u: '%s' is no host:port",
                       n, d->address[n]);
            return false;
        }
        for (unsigned other = 0; other < n; other++) {
            if (!strcmp(d->address[n], d->address[other])) {
                error_setg(errp, "distkvm: peers= gives nodes %u and %u one"
                           " address, %s", other, n, d->address[n]);
                return false;
            }
        }
    }
    if (node < 0) {
        error_setg(errp, "distkvm: node= is missing");
        error_append_hint(errp, "It is this node's place in peers=, from"
                          " 0.\n");
        return false;
    }
    if (node >= d->nodes) {
        error_setg(errp, "distkvm: node=%" PRId64 " is not one of the %u"
                   " nodes that peers= names", node, d->nodes);
        return false;
    }
    d->id = node;
    view_init(&d->view, d->id);
    return true;
}

/* Parse "a/b/c": one number, or size, for each node; they must sum up. */
static bool parse_shares(const DistKVM *d, const char *name, const char *text,
                         bool sizes, uint64_t total, uint64_t *share,
                         Error **errp)
{
    g_auto(GStrv) part = g_strsplit(text, "/", -1);
    uint64_t sum = 0;

    if (g_strv_length(part) != d->nodes) {
        error_setg(errp, "distkvm: %s=%s has %u shares for %u nodes", name,
                   text, g_strv_length(part), d->nodes);
        return false;
    }
    for (unsigned n = 0; n < d->nodes; n++) {
        int ret = sizes ? qemu_strtosz_MiB(part[n], NULL, &share[n])
                        : qemu_strtou64(part[n], NULL, 10, &share[n]);

        if (ret < 0) {
            error_setg(errp, "distkvm: %s=%s: '%s' is not a %s", name, text,
                       part[n], sizes ? "size" : "number");
            return false;
        }
        sum += share[n];
    }
    if (sum != total) {
        error_setg(errp, "distkvm: %s=%s sums up to %" PRIu64 ", but the"
                   " machine has %" PRIu64, name, text, sum, total);
        return false;
    }
    return true;
}

bool distkvm_config_vcpus(DistKVM *d, const char *text, unsigned cpus,
                          Error **errp)
{
    uint64_t share[COH_NODES_MAX];

    if (!text) {
        cluster_map_even(cpus, d->nodes, share);
    } else if (!parse_shares(d, "vcpus", text, false, cpus, share, errp)) {
        return false;
    }
    if (!share[0]) {
        error_setg(errp, "distkvm: vcpus=%s: vCPU 0 must be on node 0", text);
        return false;
    }
    cpu_places_init(&d->cpus, share, d->nodes);
    return true;
}

/* All nodes know the shape of the guest, and come to the same number. */
static int64_t auto_lanes(const DistKVM *d)
{
    unsigned most = 0;

    for (CohNodeId n = 0; n < d->nodes; n++) {
        most = MAX(most, cpu_places_count(&d->cpus, n));
    }
    return MAX(1, MIN(DIV_ROUND_UP(most, LANE_CPUS), LANES_MAX));
}

bool distkvm_config_lanes(DistKVM *d, int64_t lanes, Error **errp)
{
    if (lanes < 0 || lanes > LANES_MAX) {
        error_setg(errp, "distkvm: lanes=%" PRId64 " is not between 0 and %d",
                   lanes, LANES_MAX);
        return false;
    }
    d->engine_config.lanes = lanes_make(lanes ?: auto_lanes(d),
                                        d->ram_bytes >> COH_PAGE_BITS);
    return true;
}

ClusterMap *distkvm_config_map(const DistKVM *d, const char *text,
                               uint64_t bytes, Error **errp)
{
    uint64_t share[COH_NODES_MAX];

    if (!text) {
        return cluster_map_new_even(d->nodes, bytes >> COH_PAGE_BITS,
                                    CLUSTER_STRETCH_BITS);
    }
    if (!parse_shares(d, "mem", text, true, bytes, share, errp)) {
        return NULL;
    }
    for (unsigned n = 0; n < d->nodes; n++) {
        if (share[n] % COH_PAGE_SIZE) {
            error_setg(errp, "distkvm: mem=%s: a share is not a multiple of"
                       " %u bytes", text, COH_PAGE_SIZE);
            return NULL;
        }
        share[n] >>= COH_PAGE_BITS;
    }
    return cluster_map_new(d->nodes, bytes >> COH_PAGE_BITS,
                           CLUSTER_STRETCH_BITS, share);
}

bool distkvm_config_mem(DistKVM *d, const char *text, uint64_t bytes,
                        Error **errp)
{
    d->ram_bytes = bytes;
    d->map = distkvm_config_map(d, text, bytes, errp);
    return d->map;
}

bool distkvm_cap_divide(const DistKVM *d, uint64_t bytes, DistKVMCap *cap,
                        Error **errp)
{
    uint64_t share = d->map->share[d->id] << COH_PAGE_BITS;

    /* A home takes its pages back, and needs others' to work with. */
    if (bytes && bytes < share + CAP_RESERVE) {
        error_setg(errp, "distkvm: cap=%" PRIu64 "M is less than this node's"
                   " share of RAM, %" PRIu64 " MiB (mem= is rounded to 2 MiB),"
                   " and a reserve of %u MiB", bytes / MiB, share / MiB,
                   (unsigned)(CAP_RESERVE / MiB));
        return false;
    }
    cap->snapshots = d->snapshots_max;
    cap->guest_pages = 0;
    if (bytes) {
        /* Snapshots count, and leave room for others' pages. */
        cap->snapshots = MIN(d->snapshots_max,
                             ((bytes - share) >> COH_PAGE_BITS) / 4);
        cap->guest_pages = (bytes >> COH_PAGE_BITS) - cap->snapshots;
    }
    return true;
}

bool distkvm_config_cap(DistKVM *d, const char *text, bool shares_given,
                        Error **errp)
{
    uint64_t share = d->map->share[d->id] << COH_PAGE_BITS;
    uint64_t bytes = shares_given ? share + share / 16 + CAP_RESERVE : 0;
    DistKVMCap cap;

    d->snapshots_max = d->engine_config.delta_pages;
    if (text && qemu_strtosz_MiB(text, NULL, &bytes) < 0) {
        error_setg(errp, "distkvm: cap=%s is not a size", text);
        return false;
    }
    if (!distkvm_cap_divide(d, bytes, &cap, errp)) {
        return false;
    }
    d->engine_config.delta_pages = cap.snapshots;
    d->engine_config.cap_pages = cap.guest_pages;
    return true;
}

/* Stops at TCG, which is always there, so that none behind it is taken. */
static int choose_vmi(void *opaque, QemuOpts *opts, Error **errp)
{
    const char *name = qemu_opt_get(opts, "accel");
    const char **vmi = opaque;

    if (!g_strcmp0(name, "kvm")) {
        *vmi = "kvm";
    } else if (!g_strcmp0(name, "tcg")) {
        *vmi = *vmi ? "auto" : "tcg";
        return 1;
    }
    return 0;
}

const char *distkvm_config_default_vmi(void)
{
    const char *vmi = NULL;

    qemu_opts_foreach(qemu_find_opts("accel"), choose_vmi, &vmi, NULL);
    return vmi ?: "tcg";
}

bool distkvm_config_dma(DistKVM *d, const char *text, Error **errp)
{
    static const char *const words[DISTKVM_DMA__MAX] = {
        [DISTKVM_DMA_AUTO] = "auto", [DISTKVM_DMA_VISIT] = "visit",
        [DISTKVM_DMA_MOVE] = "move", [DISTKVM_DMA_FAULTS] = "faults",
    };

    d->dma_policy = DISTKVM_DMA_AUTO;
    while (text && strcmp(text, words[d->dma_policy])) {
        if (++d->dma_policy == DISTKVM_DMA__MAX) {
            error_setg(errp, "distkvm: dma-policy=%s is not known", text);
            error_append_hint(errp, "Use dma-policy=auto, visit, move or"
                              " faults.\n");
            return false;
        }
    }
    return true;
}
