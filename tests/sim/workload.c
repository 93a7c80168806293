/*
 * Patterns of access, by which shared memory is judged
 *
 * Names follow Munin (Carter, Bennett and Zwaenepoel 1991).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim.h"

#define HOT_PAGES 4
#define BUFFERS 32
/* Pages of one burst: read and then written; of each node, that others read. */
#define BURST_SHARED 10
#define BURST_OWN 5
#define BURST_STEPS (2 * BURST_SHARED + 2 * BURST_OWN)
/* Different bursts, and the pause between two. */
#define BURSTS 4
#define BURST_PAUSE_NS 500000
/* Only faults are recorded: between two of them a guest does its work. */
#define TRACE_THINK_NS 200000

typedef struct TraceLine {
    uint16_t node;
    bool write;
    CohPage page;
} TraceLine;

static GArray *trace[COH_NODES_MAX];

static void next_private(Sim *sim, CohNodeId node, SimAccess *a)
{
    unsigned share = sim_config(sim)->pages / sim_config(sim)->nodes;

    a->page = node * share + sim_random(sim, share);
    a->write = sim_random(sim, 2);
}

/* A node reads the page, then writes it, then another node does. */
static void next_migratory(Sim *sim, CohNodeId node, SimAccess *a)
{
    uint64_t turn = sim_turn(sim, node);

    a->page = (turn / 2 + node) % BUFFERS;
    a->write = turn & 1;
    a->think_ns = a->write ? 100 : 20000;
}

static void next_read_mostly(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = sim_random(sim, MIN(sim_config(sim)->pages, 256));
    a->write = sim_random(sim, 100) < 2;
}

static void next_producer(Sim *sim, CohNodeId node, SimAccess *a)
{
    uint64_t turn = sim_turn(sim, node);

    a->page = turn % BUFFERS;
    a->write = node == 0;
    a->think_ns = 10000;
}

/* One word that all nodes want; a critical section between. */
static void next_lock(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = 0;
    a->write = true;
    a->think_ns = 5000 + sim_random(sim, 20000);
}

/* One word that all nodes increment, wherever its page is. */
static void next_counter(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = 0;
    a->operate = true;
    a->think_ns = 5000 + sim_random(sim, 20000);
}

/* Different words of the same pages, all the time. */
static void next_false_sharing(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = sim_random(sim, HOT_PAGES);
    a->write = sim_random(sim, 4);
    a->think_ns = 50;
}

static void next_scan(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = (sim_turn(sim, node) + node) % sim_config(sim)->pages;
    a->write = sim_turn(sim, node) / sim_config(sim)->pages % 2;
}

/*
 * A device on each node, most of all on node 0, gets and puts bytes of buffers
 * that CPUs use.  A page's first word is its version, and stays.
 */
static void next_dma(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = sim_random(sim, BUFFERS);
    a->think_ns = 2000;
    if (node && sim_random(sim, 4)) {
        a->write = sim_random(sim, 2);
        return;
    }
    a->operate = true;
    a->put = sim_random(sim, 2);
    a->offset = sim_random(sim, 4) ? 8 : 8 + sim_random(sim,
                                                        COH_PAGE_SIZE - 8);
    a->length = sim_random(sim, 4)
                ? COH_PAGE_SIZE - a->offset
                : 1 + sim_random(sim, COH_PAGE_SIZE - a->offset);
}

static void next_mixed(Sim *sim, CohNodeId node, SimAccess *a)
{
    static void (*const parts[])(Sim *, CohNodeId, SimAccess *) = {
        next_private, next_migratory, next_read_mostly, next_producer,
        next_lock, next_false_sharing, next_scan,
    };

    parts[sim_random(sim, G_N_ELEMENTS(parts))](sim, node, a);
    a->operate = a->page < HOT_PAGES && !sim_random(sim, 8);
}

/*
 * Like a task that wakes another: the same pages, one after the other, some of
 * which other nodes need as well; then work that shares nothing.
 */
static void next_burst(Sim *sim, CohNodeId node, SimAccess *a)
{
    unsigned nodes = sim_config(sim)->nodes;
    unsigned step = sim_turn(sim, node) % BURST_STEPS;
    unsigned which = (sim_turn(sim, node) / BURST_STEPS + node) % BURSTS;
    CohPage page = which * (BURST_SHARED + nodes * BURST_OWN);

    if (step < 2 * BURST_SHARED) {
        page += step / 2;
        a->write = step % 2;
    } else {
        unsigned own = (step - 2 * BURST_SHARED) % BURST_OWN;

        a->write = step >= 2 * BURST_SHARED + BURST_OWN;
        page += BURST_SHARED + own +
                (a->write ? node : (node + 1) % nodes) * BURST_OWN;
    }
    a->page = page % sim_config(sim)->pages;
    a->think_ns = step ? 1000 : sim_random(sim, 2 * BURST_PAUSE_NS);
}

/* Misaligned LOCKs, among atomics of one word that ask for no token. */
static void next_split_lock(Sim *sim, CohNodeId node, SimAccess *a)
{
    a->page = sim_random(sim, HOT_PAGES);
    a->split = !sim_random(sim, 4);
    a->operate = !a->split && !sim_random(sim, 4);
    a->write = !sim_random(sim, 2);
    a->think_ns = sim_random(sim, 20000);
}

static void next_of_trace(Sim *sim, CohNodeId node, SimAccess *a)
{
    GArray *lines = trace[node];
    const TraceLine *line;

    a->none = !lines || sim_turn(sim, node) >= lines->len;
    if (a->none) {
        return;
    }
    line = &g_array_index(lines, TraceLine, sim_turn(sim, node));
    a->page = line->page % sim_config(sim)->pages;
    a->write = line->write;
    a->think_ns = TRACE_THINK_NS;
}

static const SimWorkload workloads[] = {
    { "private", next_private },
    { "migratory", next_migratory },
    { "read-mostly", next_read_mostly },
    { "producer-consumer", next_producer },
    { "lock", next_lock },
    { "counter", next_counter },
    { "false-sharing", next_false_sharing },
    { "scan", next_scan },
    { "dma", next_dma },
    { "mixed", next_mixed },
    { "bursts", next_burst },
    { "split-lock", next_split_lock },
    { "trace", next_of_trace },
};

const SimWorkload *sim_workload_nth(unsigned n)
{
    return n < G_N_ELEMENTS(workloads) ? &workloads[n] : NULL;
}

const SimWorkload *sim_workload(const char *name)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(workloads); n++) {
        if (!strcmp(workloads[n].name, name)) {
            return &workloads[n];
        }
    }
    return NULL;
}

bool sim_load_trace(const char *path, SimConfig *config)
{
    FILE *file = fopen(path, "r");
    uint64_t page, pages = 0, lines = 0;
    unsigned node, nodes = 0;
    char kind;

    if (!file) {
        return false;
    }
    while (fscanf(file, "%u %" SCNu64 " %c", &node, &page, &kind) == 3) {
        TraceLine line = { node, kind == 'w', page };

        if (node < COH_NODES_MAX) {
            if (!trace[node]) {
                trace[node] = g_array_new(false, false, sizeof(line));
            }
            g_array_append_val(trace[node], line);
            nodes = MAX(nodes, node + 1);
            pages = MAX(pages, page + 1);
            lines++;
        }
    }
    fclose(file);
    config->workload = sim_workload("trace");
    config->nodes = MAX(nodes, 2);
    config->pages = pages;
    config->events = lines * SIM_EVENTS_PER_ACCESS(config->nodes);
    return nodes > 0;
}
