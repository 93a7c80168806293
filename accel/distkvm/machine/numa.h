/*
 * distkvm: the guest knows its nodes
 *
 * A guest that sees one NUMA node moves tasks and takes memory as if all of
 * them were near.  So each node of the cluster is a NUMA node of the guest: the
 * vCPUs that begin there, and the RAM that it is home of (core/cluster-map.h).
 * A user's -numa, or numa=off, goes first.
 *
 * Main thread, while the machine is being initialised.  The calls of
 * include/system/distkvm.h are implemented here, too.
 * Spec: docs/architecture.rst, "NUMA".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_NUMA_H
#define DISTKVM_NUMA_H

#include "hw/boards.h"

/*
 * Of ACPI's SLIT, where 10 is local and 255 unreachable.  Above 30 Linux
 * neither moves a task that forks, executes or wakes to another node, nor takes
 * memory there before it has looked for free pages at home.
 */
#define NUMA_DISTANCE_LOWEST 11
#define NUMA_DISTANCE_HIGHEST 254
#define NUMA_DISTANCE_USUAL 100

typedef struct GuestNumaOptions {
    bool on;            /* numa=                                            */
    int distance;       /* distance=, between any two nodes                 */
    const char *mem;    /* mem=, or NULL                                    */
} GuestNumaOptions;

/*
 * Before the board is made; @options are copied, but for their text.  Changes
 * @ms->smp: a socket whose vCPUs are of two nodes becomes several, since guests
 * take its caches to be shared, and Linux warns of one in two NUMA nodes.
 */
void guest_numa_init(MachineState *ms, const GuestNumaOptions *options);
/*
 * The distance between NUMA nodes, if there is one for each node of the
 * cluster; else 0.  The machine is made.
 */
int guest_numa_distance(void);
/* Tell the user of sockets that nobody named. */
void guest_numa_say(void);

#endif
