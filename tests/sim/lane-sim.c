/*
 * lane-sim: simulate whole lanes of the engine, with all their policies
 *
 * coh-sim judges the protocol, up to 1,024 nodes.  This runs the parts of a
 * lane as they are in QEMU, so it judges a change of their policies: holds,
 * readahead, eviction, batches, differences.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/memory/lanes.h"
#include "sim.h"

/* Of a page number: 16 pages, a group of prefetch.c, so homes change often. */
#define STRETCH_BITS 4
/* As QEMU's defaults. */
#define READAHEAD 64
#define DELTA_PAGES 4096
/* All of the tables: not misaligned LOCKs, nor those of a file. */
#define WORKLOADS 11
#define SPLIT_LOCKS "split-lock"
/* Of a node, at most. */
#define LANES 3

static gint nodes = 4, pages, cap, slow, lanes = 1, ahead = READAHEAD;
static gint delta_pages = DELTA_PAGES;
static gint64 seed = 1, seeds = 1, events = 100000, hold_us = 100;
static gint64 wire_us = 10, lose;
static gchar *workload, *trace_file;
static gboolean vary, each, table, walks, breaks, companions;

static GOptionEntry options[] = {
    { "nodes", 'n', 0, G_OPTION_ARG_INT, &nodes,
      "2 to " G_STRINGIFY(COH_NODES_MAX), "N" },
    { "pages", 'p', 0, G_OPTION_ARG_INT, &pages, "pages of RAM", "N" },
    { "workload", 'w', 0, G_OPTION_ARG_STRING, &workload, "see docs", "NAME" },
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &trace_file,
      "recorded accesses, which say how many nodes; --pages of their guest",
      "FILE" },
    { "seed", 's', 0, G_OPTION_ARG_INT64, &seed, "first seed", "N" },
    { "seeds", 0, 0, G_OPTION_ARG_INT64, &seeds, "how many", "N" },
    { "events", 'e', 0, G_OPTION_ARG_INT64, &events, "in each", "N" },
    { "cap", 'c', 0, G_OPTION_ARG_INT, &cap,
      "pages besides its share that a node keeps", "N" },
    { "hold", 0, 0, G_OPTION_ARG_INT64, &hold_us, "hold-us=", "N" },
    { "readahead", 0, 0, G_OPTION_ARG_INT, &ahead, "readahead=", "N" },
    { "delta-pages", 0, 0, G_OPTION_ARG_INT, &delta_pages, "delta-pages=",
      "N" },
    { "companions", 0, 0, G_OPTION_ARG_NONE, &companions, "companions=on",
      NULL },
    { "walks", 0, 0, G_OPTION_ARG_NONE, &walks,
      "page walks count as writes", NULL },
    { "wire", 0, 0, G_OPTION_ARG_INT64, &wire_us, "one way, us", "N" },
    { "slow", 0, 0, G_OPTION_ARG_INT, &slow, "a slow node", "N" },
    { "lanes", 0, 0, G_OPTION_ARG_INT, &lanes, "of each node, up to "
      G_STRINGIFY(LANES_MAX), "N" },
    { "lose", 0, 0, G_OPTION_ARG_INT64, &lose,
      "lose the last node at this event", "N" },
    { "breaks", 0, 0, G_OPTION_ARG_NONE, &breaks,
      "that node breaks, and does not vanish", NULL },
    { "vary", 0, 0, G_OPTION_ARG_NONE, &vary,
      "each seed chooses nodes, pages, network and policies", NULL },
    { "each", 0, 0, G_OPTION_ARG_NONE, &each,
      "a line for the outcome of each seed, to be compared", NULL },
    { "table", 't', 0, G_OPTION_ARG_NONE, &table,
      "the worth of each policy, by workload", NULL },
    { NULL },
};

static void print_each(const SimConfig *c, const SimResult *r)
{
    printf("seed %" PRIu64 " %s nodes %u pages %u cap %u recap %u hold %" PRId64
           " readahead %u delta %u walks %d companions %d lanes %u lose %" PRIu64 "%s: %"
           PRIu64 " events, %" PRIu64 " accesses, %" PRIu64 " split LOCKs, %"
           PRIu64 " faults, %" PRIu64 " evictions, %" PRIu64
           " messages, %" PRIu64 " bytes, %" PRId64 " ns, waited %" PRId64
           " ns;", c->seed, c->workload->name, c->nodes, c->pages,
           c->cap_pages, c->recap, c->hold_ns, c->readahead, c->delta_pages,
           c->walks_write, c->companions, c->lanes, c->lose_at,
           c->breaks ? " breaks" : "",
           r->events, r->accesses, r->split_locks,
           r->faults, r->evictions,
           r->messages, r->bytes, r->end_ns, r->fault_ns);
    for (unsigned type = 0; type < COH_EV__MAX; type++) {
        if (r->by_type[type]) {
            printf(" %s %" PRIu64, coh_event_name(type), r->by_type[type]);
        }
    }
    printf("\n");
}

/* The seed decides everything, so that it repeats everything. */
static void vary_config(SimConfig *c)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(c->seed);

    c->nodes = g_rand_int_range(rand, 0, 20) ? g_rand_int_range(rand, 2, 9)
               : 32;
    c->pages = c->nodes << g_rand_int_range(rand, 2, 9);
    c->cap_pages = g_rand_int_range(rand, 0, 2) ? 0
                   : g_rand_int_range(rand, 1, 300);
    c->hold_ns = g_rand_int_range(rand, 0, 3) * 50000;
    c->wire_ns = g_rand_int_range(rand, 1, 200000);
    c->slow_node = g_rand_int_range(rand, 0, 2);
    c->readahead = g_rand_int_range(rand, 0, 2) * READAHEAD;
    c->delta_pages = g_rand_int_range(rand, 0, 3) * 100;
    c->walks_write = !g_rand_int_range(rand, 0, 4);
    c->companions = g_rand_int_range(rand, 0, 4);
    c->workload = sim_workload_nth(g_rand_int_range(rand, 0, WORKLOADS));
    if (!g_rand_int_range(rand, 0, 8)) {
        c->workload = sim_workload(SPLIT_LOCKS);
    }
    c->lanes = g_rand_int_range(rand, 1, LANES + 1);
    c->lose_at = g_rand_int_range(rand, 0, 5) ? 0
                 : g_rand_int_range(rand, 1, c->events);
    c->breaks = g_rand_int_range(rand, 0, 2);
    c->overdue_ns = g_rand_int_range(rand, 0, 3) ? 0
                    : g_rand_int_range(rand, 1000, 200000);
    c->recap = g_rand_int_range(rand, 0, 4) ? 0
               : g_rand_int_range(rand, 20, 2000);
}

static int run_seeds(SimConfig *c)
{
    gint64 start = g_get_monotonic_time();
    uint64_t total = 0;

    for (c->seed = seed; c->seed < (uint64_t)(seed + seeds); c->seed++) {
        SimResult r;

        if (vary) {
            vary_config(c);
        }
        r = sim_run(c);
        total += r.events;
        if (each || r.violation) {
            print_each(c, &r);
        }
        if (r.violation) {
            printf("seed %" PRIu64 " (%s): %s\nagain: the same options, and"
                   " --seeds 1 -s %" PRIu64 "\n", c->seed, c->workload->name,
                   r.violation, c->seed);
            return 1;
        }
    }
    printf("%" PRId64 " seeds, %" PRIu64 " events, %.2f million a second, no"
           " violation\n", seeds, total,
           total / (double)(g_get_monotonic_time() - start));
    return 0;
}

/* ---------------------------------------------------------------- policies */

typedef struct Policy {
    const char *name;
    void (*apply)(SimConfig *c);
} Policy;

static void as_it_is(SimConfig *c)
{
}

static void no_hold(SimConfig *c)
{
    c->hold_ns = 0;
}

static void no_readahead(SimConfig *c)
{
    c->readahead = 0;
}

static void with_companions(SimConfig *c)
{
    c->companions = true;
}

static void no_delta(SimConfig *c)
{
    c->delta_pages = 0;
}

/* Room for a node's share and a quarter of RAM. */
static void capped(SimConfig *c)
{
    c->cap_pages = c->pages / 4;
}

static const Policy policies[] = {
    { "as it is", as_it_is },
    { "hold 0", no_hold },
    { "readahead 0", no_readahead },
    { "companions", with_companions },
    { "delta 0", no_delta },
    { "capped", capped },
};

#define POLICIES G_N_ELEMENTS(policies)

static double us_each(const SimResult *r)
{
    return r->fault_ns / 1000.0 / r->accesses;
}

static double messages_each(const SimResult *r)
{
    return (double)r->messages / r->accesses;
}

static double bytes_each(const SimResult *r)
{
    return (double)r->bytes / r->accesses;
}

static void print_rule(void)
{
    printf("=================");
    for (unsigned i = 0; i < POLICIES; i++) {
        printf(" ============");
    }
    printf("\n");
}

static void print_cost(const char *what, double (*cost)(const SimResult *),
                       SimResult result[][POLICIES])
{
    print_rule();
    printf("%-17s", what);
    for (unsigned i = 0; i < POLICIES; i++) {
        printf(" %12s", policies[i].name);
    }
    printf("\n");
    print_rule();
    for (unsigned w = 0; w < WORKLOADS; w++) {
        printf("%-17s", sim_workload_nth(w)->name);
        for (unsigned i = 0; i < POLICIES; i++) {
            double value = cost(&result[w][i]);

            printf(" %12.*f", value < 9.95 ? 2 : 0, value);
        }
        printf("\n");
    }
    print_rule();
    printf("\n");
}

/* As docs/performance.rst has it. */
static int print_tables(const SimConfig *config)
{
    static SimResult result[WORKLOADS][POLICIES];

    for (unsigned w = 0; w < WORKLOADS; w++) {
        for (unsigned i = 0; i < POLICIES; i++) {
            SimConfig c = *config;

            c.workload = sim_workload_nth(w);
            policies[i].apply(&c);
            result[w][i] = sim_run(&c);
            if (result[w][i].violation) {
                fprintf(stderr, "lane-sim: %s, %s: %s\n", c.workload->name,
                        policies[i].name, result[w][i].violation);
                return 1;
            }
        }
    }
    print_cost("us/access", us_each, result);
    print_cost("messages/access", messages_each, result);
    print_cost("bytes/access", bytes_each, result);
    return 0;
}

/* False if there is no such thing to simulate. */
static bool configure(SimConfig *c)
{
    sim_defaults(c);
    c->ops = &sim_lane_nodes;
    c->nodes = MAX(nodes, 0);
    c->events = MAX(events, 1);
    if (trace_file && !sim_load_trace(trace_file, c)) {
        return false;
    }
    c->pages = pages > 0 ? (unsigned)pages : c->pages;
    c->stretch_bits = trace_file ? CLUSTER_STRETCH_BITS : STRETCH_BITS;
    c->cap_pages = cap;
    c->hold_ns = hold_us * 1000;
    c->wire_ns = wire_us * 1000;
    c->slow_node = slow;
    c->readahead = ahead;
    c->delta_pages = delta_pages;
    c->walks_write = walks;
    c->companions = companions;
    c->lanes = lanes;
    c->lose_at = lose;
    c->breaks = breaks;
    c->workload = workload ? sim_workload(workload) : c->workload;
    return c->nodes >= 2 && c->nodes <= COH_NODES_MAX &&
           lanes >= 1 && lanes <= LANES_MAX &&
           c->pages >= c->nodes && c->workload && seeds > 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- simulate");
    g_autoptr(GError) error = NULL;
    SimConfig c;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "lane-sim: %s\n", error->message);
        return 2;
    }
    if (!configure(&c)) {
        fprintf(stderr, "lane-sim: no such workload or number\n");
        return 2;
    }
    return table ? print_tables(&c) : run_seeds(&c);
}
