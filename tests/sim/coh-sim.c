/*
 * coh-sim: run the simulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim.h"

/* All but the recorded one, which needs a file. */
#define WORKLOADS 10

/* Of the table; with fewer it shows first touches and little else. */
#define EVENTS_PER_NODE 3000
/* 2, 4, ... COH_NODES_MAX */
#define TABLE_COLUMNS 10

G_STATIC_ASSERT(2u << (TABLE_COLUMNS - 1) == COH_NODES_MAX);

/* Nodes that have a copy, besides the one that writes. */
static const unsigned sharers[] = { 1, 3, 7, 15, 63 };

static gint nodes, pages, cap, slow;
static gint64 seed = 1, seeds = 1, events, lose;
static gint64 hold_us = 100, wire_us = 10, apart_us;
static gchar *workload, *trace_file;
static gboolean verbose, table, upgrades, vary, each;

static GOptionEntry options[] = {
    { "nodes", 'n', 0, G_OPTION_ARG_INT, &nodes,
      "2 to " G_STRINGIFY(COH_NODES_MAX), "N" },
    { "pages", 'p', 0, G_OPTION_ARG_INT, &pages,
      "pages of RAM, at least one for each node", "N" },
    { "workload", 'w', 0, G_OPTION_ARG_STRING, &workload, "see docs", "NAME" },
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &trace_file,
      "recorded accesses, which say how many nodes and pages", "FILE" },
    { "seed", 's', 0, G_OPTION_ARG_INT64, &seed, "first seed", "N" },
    { "seeds", 0, 0, G_OPTION_ARG_INT64, &seeds, "how many", "N" },
    { "events", 'e', 0, G_OPTION_ARG_INT64, &events, "in each", "N" },
    { "cap", 'c', 0, G_OPTION_ARG_INT, &cap, "foreign pages kept", "N" },
    { "hold", 0, 0, G_OPTION_ARG_INT64, &hold_us, "hold window, us", "N" },
    { "wire", 0, 0, G_OPTION_ARG_INT64, &wire_us, "one way, us", "N" },
    { "apart", 0, 0, G_OPTION_ARG_INT64, &apart_us,
      "from one invalidation of a page to the next, us", "N" },
    { "slow", 0, 0, G_OPTION_ARG_INT, &slow, "a slow node", "N" },
    { "lose", 0, 0, G_OPTION_ARG_INT64, &lose,
      "lose the last node at this event", "N" },
    { "vary", 0, 0, G_OPTION_ARG_NONE, &vary,
      "each seed chooses nodes, pages, cap, hold, network and losses", NULL },
    { "each", 0, 0, G_OPTION_ARG_NONE, &each,
      "a line for the outcome of each seed, to be compared", NULL },
    { "table", 't', 0, G_OPTION_ARG_NONE, &table,
      "what an access costs: all workloads, any number of nodes", NULL },
    { "upgrades", 'u', 0, G_OPTION_ARG_NONE, &upgrades,
      "what a write costs, by how many others have a copy", NULL },
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

static void print_rule(unsigned columns)
{
    printf("=================");
    for (unsigned i = 0; i < columns; i++) {
        printf(" =====");
    }
    printf("\n");
}

static void print_cost(const char *what, double (*cost)(const SimResult *),
                       SimResult result[][TABLE_COLUMNS])
{
    print_rule(TABLE_COLUMNS);
    printf("%-17s", what);
    for (unsigned n = 2; n <= COH_NODES_MAX; n *= 2) {
        printf(" %5u", n);
    }
    printf("\n");
    print_rule(TABLE_COLUMNS);
    for (unsigned w = 0; w < WORKLOADS; w++) {
        printf("%-17s", sim_workload_nth(w)->name);
        for (unsigned i = 0; i < TABLE_COLUMNS; i++) {
            double value = cost(&result[w][i]);

            printf(" %5.*f", value < 9.95 ? 1 : 0, value);
        }
        printf("\n");
    }
    print_rule(TABLE_COLUMNS);
    printf("\n");
}

/* As docs/protocol.rst has it. */
static int print_tables(SimConfig *c)
{
    static SimResult result[WORKLOADS][TABLE_COLUMNS];
    uint64_t events_least = c->events;

    c->pages = MAX(c->pages, COH_NODES_MAX);
    for (unsigned w = 0; w < WORKLOADS; w++) {
        c->workload = sim_workload_nth(w);
        for (unsigned i = 0; i < TABLE_COLUMNS; i++) {
            c->nodes = 2u << i;
            c->events = MAX(events_least, EVENTS_PER_NODE * c->nodes);
            result[w][i] = sim_run(c);
            if (result[w][i].violation) {
                fprintf(stderr, "coh-sim: %s, %u nodes: %s\n",
                        c->workload->name, c->nodes, result[w][i].violation);
                return 1;
            }
        }
    }
    print_cost("us/access", us_each, result);
    print_cost("messages/access", messages_each, result);
    print_cost("bytes/access", bytes_each, result);
    return 0;
}

typedef double UpgradeCosts[SIM_HOME__MAX][G_N_ELEMENTS(sharers)];

/* The mean over all seeds; false if one went wrong. */
static bool upgrade_us(SimConfig *c, unsigned others, SimHomeRole role,
                       double *us)
{
    *us = 0;
    for (c->seed = seed; c->seed < (uint64_t)(seed + seeds); c->seed++) {
        SimResult r = sim_upgrades(c, others, role);

        if (r.violation) {
            fprintf(stderr, "coh-sim: %s, %u sharers, seed %" PRIu64 ": %s\n",
                    sim_home_role_name(role), others, c->seed, r.violation);
            return false;
        }
        *us += sim_write_us(&r) / seeds;
    }
    return true;
}

static void print_upgrades(const char *what, UpgradeCosts us, bool relative)
{
    print_rule(G_N_ELEMENTS(sharers));
    printf("%-17s", what);
    for (unsigned i = 0; i < G_N_ELEMENTS(sharers); i++) {
        printf(" %5u", sharers[i]);
    }
    printf("\n");
    print_rule(G_N_ELEMENTS(sharers));
    for (unsigned role = 0; role < SIM_HOME__MAX; role++) {
        printf("%-17s", sim_home_role_name(role));
        for (unsigned i = 0; i < G_N_ELEMENTS(sharers); i++) {
            printf(relative ? " %5.2f" : " %5.1f",
                   us[role][i] / (relative ? us[role][0] : 1));
        }
        printf("\n");
    }
    print_rule(G_N_ELEMENTS(sharers));
    printf("\n");
}

/* As docs/protocol.rst has it. */
static int print_upgrade_tables(SimConfig *c)
{
    UpgradeCosts us;

    for (unsigned role = 0; role < SIM_HOME__MAX; role++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sharers); i++) {
            if (!upgrade_us(c, sharers[i], role, &us[role][i])) {
                return 1;
            }
        }
    }
    print_upgrades("us/upgrade", us, false);
    print_upgrades("to one sharer", us, true);
    return 0;
}

/* Mostly a few, where most can go wrong; large clusters take long. */
static unsigned vary_nodes(GRand *rand)
{
    int chance = g_rand_int_range(rand, 0, 50);

    return chance == 0 ? COH_NODES_MAX :
           chance < 5 ? 64 : (unsigned)g_rand_int_range(rand, 2, 9);
}

/* The seed decides everything, so that it repeats everything. */
static void vary_config(SimConfig *c)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(c->seed);

    c->nodes = vary_nodes(rand);
    /* Every node remembers every page. */
    c->pages = c->nodes << g_rand_int_range(rand, 0, c->nodes > 64 ? 2 : 8);
    c->cap_pages = g_rand_int_range(rand, 0, 3) ? 0
                   : g_rand_int_range(rand, 1, 64);
    c->hold_ns = g_rand_int_range(rand, 0, 3) * 50000;
    c->wire_ns = g_rand_int_range(rand, 1, 200000);
    c->slow_node = g_rand_int_range(rand, 0, 2);
    c->lose_at = g_rand_int_range(rand, 0, 10) ? 0
                 : g_rand_int_range(rand, 1, c->events);
    c->workload = sim_workload_nth(g_rand_int_range(rand, 0, WORKLOADS));
}

/* The outcome of a run, to be compared with another build's. */
static void print_each(const SimConfig *c, const SimResult *r)
{
    printf("seed %" PRIu64 " %s nodes %u pages %u: %" PRIu64 " events, %" PRIu64
           " accesses, %" PRIu64 " faults, %" PRIu64 " evictions, %" PRIu64
           " messages, %" PRIu64 " bytes, %" PRId64 " ns, waited %" PRId64
           " ns;", c->seed, c->workload->name, c->nodes, c->pages, r->events,
           r->accesses, r->faults, r->evictions, r->messages, r->bytes,
           r->end_ns, r->fault_ns);
    for (unsigned type = 0; type < COH_EV__MAX; type++) {
        if (r->by_type[type]) {
            printf(" %s %" PRIu64, coh_event_name(type), r->by_type[type]);
        }
    }
    printf("\n");
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
        if (each) {
            print_each(c, &r);
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

/* False if there is no such thing to simulate. */
static bool configure(SimConfig *c)
{
    sim_defaults(c);
    if (trace_file && !sim_load_trace(trace_file, c)) {
        return false;
    }
    c->nodes = nodes > 0 ? (unsigned)nodes : c->nodes;
    c->pages = pages > 0 ? (unsigned)pages : MAX(c->pages, c->nodes);
    /* The homes that a guest's pages had. */
    c->stretch_bits = trace_file && pages > 0 ? CLUSTER_STRETCH_BITS : 0;
    c->events = events > 0 ? (uint64_t)events : c->events;
    c->cap_pages = cap;
    c->hold_ns = hold_us * 1000;
    c->wire_ns = wire_us * 1000;
    c->apart_ns = apart_us * 1000;
    c->slow_node = slow;
    c->lose_at = lose;
    c->workload = workload ? sim_workload(workload) : c->workload;
    c->trace = verbose ? stdout : NULL;
    return c->nodes >= 2 && c->nodes <= COH_NODES_MAX &&
           c->pages >= c->nodes && c->workload && seeds > 0;
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
    if (!configure(&c)) {
        fprintf(stderr, "coh-sim: no such workload, trace, or number\n");
        return 2;
    }
    if (table) {
        return print_tables(&c);
    }
    if (upgrades) {
        return print_upgrade_tables(&c);
    }
    return run_seeds(&c);
}
