/*
 * The surroundings of a simulated lane: memory, network, clock and host
 *
 * Stands in for memory/mem-uffd.c, the transports, clock.c and say.c, in a
 * virtual clock.  A page of a node is as the last mem_*() call left it; its
 * bytes are real, and pass the lane's codec.  Frames that
 * leave together are one bunch, which takes the network's time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LANE_WORLD_H
#define LANE_WORLD_H

#include "accel/distkvm/engine/config.h"
#include "accel/distkvm/memory/mem.h"
#include "accel/distkvm/wire/transport.h"
#include "sim-internal.h"

/* Events of lane nodes, besides those of sim.c. */
enum {
    SIM_ARRIVE = SIM_OWN,   /* @bunch comes to @node                        */
    SIM_PASS,               /* the thread of @node's lane runs              */
    SIM_RETRY,              /* the vCPU of @node was woken for @ev.page     */
    SIM_STORE,              /* the store of its misaligned LOCK             */
    SIM_FAIL,               /* @node hears that a node is lost              */
};

/* Frames that travel together. */
typedef struct SimBunch {
    CohNodeId from;
    unsigned frames;
    size_t len;
    uint8_t bytes[];
} SimBunch;

struct Mem {
    Sim *sim;
    SimNode *n;
    uint8_t *host;          /* of all pages, as the node would see them     */
    GArray *faults[LANES_MAX];  /* MemFault that the lane has not read      */
};

typedef struct SimTransport {
    Transport base;
    Sim *sim;
    SimNode *n;
    const TransportListener *listener;
    void *opaque;
    unsigned lane;
    bool corked;
    GQueue arrived;         /* SimBunch, oldest first                       */
    unsigned taken;         /* frames since the pass began                  */
    SimBunch *out[COH_NODES_MAX];
} SimTransport;

/* @sim is the simulation that goes on from here; its pages get bytes. */
void lane_world_enter(Sim *sim);

Mem *lane_mem_new(Sim *sim, SimNode *n);
/* A TransportNew of the node and lane that were given here last. */
void lane_transport_of(SimNode *n, unsigned lane);
TransportNew lane_transport_new;

/* The vCPU of @mem's node has written version @version of @page. */
void lane_mem_wrote(Mem *mem, CohPage page, uint32_t version);

extern const EngineListener lane_host;

#endif
