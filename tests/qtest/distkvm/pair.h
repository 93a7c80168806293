/*
 * distkvm: two nodes that execute no guest code, driven from outside
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PAIR_H
#define DISTKVM_PAIR_H

#include "libqtest.h"
#include "qobject/qdict.h"

/* Homes: the first half of 64 MiB of RAM on node 0, the second on node 1. */
#define PAGE_OF_NODE_0 (8ull << 20)
#define PAGE_OF_NODE_1 (40ull << 20)
#define WAIT_US (10 * G_USEC_PER_SEC)

#define PORT_PCI_ADDRESS 0xcf8
#define PORT_PCI_DATA 0xcfc

#define NODES_MAX 3

/* More than a test stops a node for, on a machine under load. */
#define BEARS_STOPS_MS 30000

/* Two nodes, or @nodes of them. */
typedef struct Pair {
    QTestState *node[NODES_MAX];
    pid_t pid[NODES_MAX];
    char *dir;                  /* of their sockets */
    int nodes;
} Pair;

/* Options that are not as usual; NULL: none. */
typedef struct PairShape {
    const char *machine;
    const char *smp;
    const char *accel;          /* options of every node, with a comma first */
    const char *devices;        /* options of node 0 */
    const char *others;         /* of each other node */
    int dead_after_ms;          /* of a test that stops a node for a while */
} PairShape;

/* The answer of query-distkvm; the caller's. */
QDict *pair_query(QTestState *s);
/* A number of its part "memory". */
int64_t pair_counter(QTestState *s, const char *name);
bool pair_flag(QTestState *s, const char *name);
void pair_wait_flag(QTestState *s, const char *name);
/* The file that node @n logs to; the caller's. */
char *pair_log_path(const Pair *p, int n);
/* Is @vector pending in the local APIC of CPU @cpu, which is node @node's? */
bool pair_has_arrived(const Pair *p, int node, int cpu, uint8_t vector);
void pair_wait_arrived(const Pair *p, int node, int cpu, uint8_t vector);
/* Until all nodes have joined. */
void pair_start_nodes(Pair *p, int nodes, const PairShape *shape);
/* Until all nodes run, and the others have node 0's memory map. */
void pair_wait_map(Pair *p);
/* Both, for two nodes as usual. */
void pair_start(Pair *p);
void pair_remove_sockets(Pair *p);
void pair_end(Pair *p);

#endif
