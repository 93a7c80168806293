/*
 * distkvm: this node's identity
 *
 * One node per process.  Fields are set before the main loop runs and constant
 * afterwards, unless a comment says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_NODE_H
#define DISTKVM_NODE_H

#include "hw/core/cpu.h"
#include "accel/distkvm/core/cpu-place.h"
#include "accel/distkvm/core/view.h"
#include "accel/distkvm/engine/engine.h"

/* The version of everything in this overlay that nodes must share. */
#define DISTKVM_VERSION "0.1.0"

typedef enum {
    DISTKVM_VMI_TCG,
    DISTKVM_VMI_KVM,
    DISTKVM_VMI_QTEST,
} DistKVMVmi;

/* Of the option transport=, in its order of words. */
typedef enum {
    DISTKVM_TRANSPORT_AUTO,
    DISTKVM_TRANSPORT_SHM,
    DISTKVM_TRANSPORT_TLS,
    DISTKVM_TRANSPORT_UCX,
} DistKVMTransport;

typedef struct DistKVM {
    /* configuration: accel.c, config.c, cluster/path.c */
    CohNodeId id;
    unsigned nodes;
    char **address;             /* of each node, "host:port", "unix:path"   */
    DistKVMTransport transport;
    char *no_shm;               /* why shared memory cannot be, or NULL     */
    char *cluster;
    DistKVMVmi vmi;
    const ClusterMap *map;      /* see core/cluster-map.h, "Versions"       */
    CpuPlaces cpus;             /* written under the BQL                    */
    SharedView view;            /* written by the member thread             */
    uint64_t ram_bytes;
    int64_t join_timeout_ms;
    int64_t dead_after_ms;
    EngineConfig engine_config; /* cap and snapshots: as set last           */
    unsigned snapshots_max;     /* with a cap of any size                   */
    int dma_policy;             /* DistkvmDmaPolicy                         */

    Engine *engine;
    /* atomic: all nodes have joined each other */
    bool formed;
    /* atomic: a node is lost; nothing runs any more */
    bool failed;
    /* atomic: guest resets so far; frames of another epoch are stale */
    uint32_t epoch;
    /* BQL: of interrupts that this node sends; while it resets, the last one */
    uint32_t irq_epoch;
} DistKVM;

/* NULL unless -accel distkvm is in use. */
extern DistKVM *distkvm;

/* Have all nodes joined each other?  Any thread. */
bool node_is_formed(void);
/* They have, or this node has left them. */
void node_set_formed(bool formed);

static inline bool distkvm_is_boot_node(void)
{
    return distkvm->id == 0;
}

/* This node, and all nodes that have joined it.  Any thread. */
static inline CohNodeSet distkvm_members(void)
{
    return view_get(&distkvm->view).members;
}

/*
 * Are all of them in @set?  Not if the cluster has lost a node: its rest starts
 * and resets nothing.  Any thread.
 */
static inline bool distkvm_is_whole(const CohNodeSet *set)
{
    CohNodeSet members = distkvm_members();

    return !qatomic_read(&distkvm->failed) && coh_set_has_all(set, &members);
}

/* Of vCPU @cpu, which may be any number; see core/cpu-place.h. */
static inline CohNodeId distkvm_cpu_node(uint32_t cpu)
{
    return cpu_place_get(&distkvm->cpus, cpu);
}

static inline bool distkvm_cpu_is_local(const CPUState *cpu)
{
    return distkvm_cpu_node(cpu->cpu_index) == distkvm->id;
}

#endif
