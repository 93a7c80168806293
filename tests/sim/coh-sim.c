/*
 * coh-sim: run the simulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim.h"

/* All but the recorded one, which needs a file. */
#define WORKLOADS 8

static gint nodes = 4, pages = 1024, cap, slow;
static gint64 seed = 1, seeds = 1, events = 100000, lose;
static gint64 hold_us = 100, wire_us = 10;
static gchar *workload, *trace_file;
static gboolean verbose, table, vary;

static GOptionEntry options[] = {
    { "nodes", 'n', 0, G_OPTION_ARG_INT, &nodes, "2 to 64", "N" },
    { "pages", 'p', 0, G_OPTION_ARG_INT, &pages, "pages of RAM", "N" },
    { "workload", 'w', 0, G_OPTION_ARG_STRING, &workload, "see docs", "NAME" },
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &trace_file,
      "accesses for the workload \"trace\"", "FILE" },
    { "seed", 's', 0, G_OPTION_ARG_INT64, &seed, "first seed", "N" },
    { "seeds", 0, 0, G_OPTION_ARG_INT64, &seeds, "how many", "N" },
    { "events", 'e', 0, G_OPTION_ARG_INT64, &events, "in each", "N" },
    { "cap", 'c', 0, G_OPTION_ARG_INT, &cap, "foreign pages kept", "N" },
    { "hold", 0, 0, G_OPTION_ARG_INT64, &hold_us, "hold window, us", "N" },
    { "wire", 0, 0, G_OPTION_ARG_INT64, &wire_us, "one way, us", "N" },
    { "slow", 0, 0, G_OPTION_ARG_INT, &slow, "a slow node", "N" },
    { "lose", 0, 0, G_OPTION_ARG_INT64, &lose,
      "lose the last node at this event", "N" },
    { "vary", 0, 0, G_OPTION_ARG_NONE, &vary,
      "each seed chooses nodes, pages, cap, hold, network and losses", NULL },
    { "table", 't', 0, G_OPTION_ARG_NONE, &table,
      "all workloads, 2 to 64 nodes, as a table", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "every step", NULL },
    { NULL },
};

static void print_result(const SimConfig *c, const SimResult *r)
{
    printf("%-18s %5u %9.2f %8.2f %8.0f %8.1f %8.1f\n", c->workload->name,
           c->nodes, (double)r->faults / r->accesses,
           r->faults ? (double)r->messages / r->faults : 0,
           r->faults ? (double)r->bytes / r->faults : 0,
           r->faults ? r->fault_ns / 1000.0 / r->faults : 0,
           sim_latency_ns(r, 0.99) / 1000.0);
}

static void print_head(void)
{
    printf("%-18s %5s %9s %8s %8s %8s %8s\n", "workload", "nodes",
           "faults", "messages", "bytes", "mean us", "99% us");
    printf("%-18s %5s %9s %8s %8s\n", "", "", "/access", "/fault", "/fault");
}

static void print_table(SimConfig *c)
{
    print_head();
    for (unsigned w = 0; sim_workload_nth(w); w++) {
        if (!strcmp(sim_workload_nth(w)->name, "trace") && !trace_file) {
            continue;
        }
        for (c->nodes = 2; c->nodes <= COH_NODES_MAX; c->nodes *= 2) {
            SimResult r;

            c->workload = sim_workload_nth(w);
            r = sim_run(c);
            print_result(c, &r);
        }
    }
}

/* The seed decides everything, so that it repeats everything. */
static void vary_config(SimConfig *c)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(c->seed);

    c->nodes = g_rand_int_range(rand, 0, 10) ? g_rand_int_range(rand, 2, 9)
                                             : COH_NODES_MAX;
    c->pages = c->nodes << g_rand_int_range(rand, 0, 8);
    c->cap_pages = g_rand_int_range(rand, 0, 3) ? 0
                   : g_rand_int_range(rand, 1, 64);
    c->hold_ns = g_rand_int_range(rand, 0, 3) * 50000;
    c->wire_ns = g_rand_int_range(rand, 1, 200000);
    c->slow_node = g_rand_int_range(rand, 0, 2);
    c->lose_at = g_rand_int_range(rand, 0, 10) ? 0
                 : g_rand_int_range(rand, 1, c->events);
    c->workload = sim_workload_nth(g_rand_int_range(rand, 0, WORKLOADS));
}

static int run_seeds(SimConfig *c)
{
    uint64_t total = 0;
    gint64 start = g_get_monotonic_time();
    SimResult r;

    for (c->seed = seed; c->seed < (uint64_t)(seed + seeds); c->seed++) {
        if (vary) {
            vary_config(c);
        }
        r = sim_run(c);
        total += r.events;
        if (r.violation) {
            printf("seed %" PRIu64 " (%s): %s\nagain: the same options, and"
                   " --seeds 1 -v -s %" PRIu64 "\n", c->seed,
                   c->workload->name, r.violation, c->seed);
            return 1;
        }
    }
    print_head();
    c->seed--;
    print_result(c, &r);
    printf("%" PRId64 " seeds, %" PRIu64 " events, %.2f million a second, no"
           " violation\n", seeds, total,
           total / (double)(g_get_monotonic_time() - start));
    return 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- simulate");
    g_autoptr(GError) error = NULL;
    SimConfig c;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "coh-sim: %s\n", error->message);
        return 2;
    }
    sim_defaults(&c);
    c.nodes = nodes;
    c.pages = pages;
    c.events = events;
    c.cap_pages = cap;
    c.hold_ns = hold_us * 1000;
    c.wire_ns = wire_us * 1000;
    c.slow_node = slow;
    c.lose_at = lose;
    c.workload = sim_workload(workload ?: "mixed");
    c.trace = verbose ? stdout : NULL;
    if (nodes < 2 || nodes > COH_NODES_MAX || pages < nodes || !c.workload ||
        (trace_file && !sim_load_trace(trace_file))) {
        fprintf(stderr, "coh-sim: no such workload, trace, or number\n");
        return 2;
    }
    if (table) {
        print_table(&c);
        return 0;
    }
    return run_seeds(&c);
}
