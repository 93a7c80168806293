/*
 * coh-replay: does a traced run follow the tables?
 *
 * Reads the distkvm_coh_step lines of all nodes' logs, gives each event to a
 * replica of its node, and compares what the replica does with what the node
 * says it did.  A message counts only if a replica has sent it before, to that
 * node, with those contents; so the logs need no common clock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"

#define LINE_BYTES 512

typedef struct Replica {
    CohNode node;
    FILE *log;
    const char *name;
    uint64_t line;
    /* the next step that its log tells of */
    bool ready;
    CohEvent ev;
    unsigned status;
    char state[16], next[16];
} Replica;

static ClusterMap *map;
static Replica replica[COH_NODES_MAX];
/* Messages that were sent and have not arrived: text -> their number. */
static GHashTable *under_way;
static uint64_t steps;

static char *message_key(unsigned to, const CohEvent *ev)
{
    return g_strdup_printf("%u %u %u %u %d %" PRIu64, to, ev->type, ev->from,
                           ev->requester, ev->acks, ev->page);
}

static void count_message(unsigned to, const CohEvent *ev, int by)
{
    char *key = message_key(to, ev);
    int n = GPOINTER_TO_INT(g_hash_table_lookup(under_way, key)) + by;

    if (n) {
        g_hash_table_insert(under_way, key, GINT_TO_POINTER(n));
    } else {
        g_hash_table_remove(under_way, key);
        g_free(key);
    }
}

static bool has_arrived(const Replica *r)
{
    g_autofree char *key = message_key(r->node.id, &r->ev);

    return !coh_event_is_message(r->ev.type) ||
           g_hash_table_contains(under_way, key);
}

static unsigned event_type(const char *name)
{
    unsigned type = 0;

    while (type < COH_EV__MAX && strcmp(coh_event_name(type), name)) {
        type++;
    }
    return type;
}

/* Find the next step in the log; false at its end. */
static bool read_step(Replica *r)
{
    char line[LINE_BYTES], type[16];
    const char *at;
    unsigned node, from, requester;
    int acks;

    while (!r->ready && fgets(line, sizeof(line), r->log)) {
        r->line++;
        at = strstr(line, "distkvm_coh_step ");
        if (at && sscanf(at, "distkvm_coh_step node %u page 0x%" SCNx64
                         " %15s from %u requester %u acks %d: %15s -> %15s"
                         " status %u", &node, &r->ev.page, type, &from,
                         &requester, &acks, r->state, r->next,
                         &r->status) == 9) {
            r->ev.type = event_type(type);
            r->ev.from = from;
            r->ev.requester = requester;
            r->ev.acks = acks;
            r->ready = node == r->node.id && r->ev.page < map->pages;
        }
    }
    return r->ready;
}

static const char *state_name(const Replica *r)
{
    const CohHome *home;

    if (!coh_event_is_for_home(r->ev.type)) {
        return coh_peer_state_name(r->node.peer[r->ev.page].state);
    }
    home = coh_node_home(&r->node, r->ev.page);
    return home ? coh_home_state_name(home->state) : "no home";
}

static bool diverges(const Replica *r, const char *what)
{
    printf("%s:%" PRIu64 ": %s: %s from %d page 0x%" PRIx64 ", %s -> %s,"
           " replica in %s\n", r->name, r->line, what,
           coh_event_name(r->ev.type), r->ev.from, r->ev.page, r->state,
           r->next, state_name(r));
    return false;
}

static void send_all(const Replica *r, const CohActions *acts)
{
    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];
        CohEvent ev = {
            .type = d->msg, .from = r->node.id, .requester = d->requester,
            .acks = d->acks, .page = r->ev.page,
        };

        for (unsigned to = 0; d->act == COH_ACT_NONE && to < map->nodes; to++) {
            if (coh_set_has(&d->to, to)) {
                count_message(to, &ev, 1);
            }
        }
    }
}

static bool replay_step(Replica *r)
{
    bool message = coh_event_is_message(r->ev.type);
    CohActions acts;
    CohStatus status;

    if (strcmp(state_name(r), r->state)) {
        return diverges(r, "it is in another state");
    }
    status = coh_step(&r->node, &r->ev, &acts);
    if (status != r->status) {
        return diverges(r, "it takes the event otherwise");
    }
    if (strcmp(state_name(r), status == COH_OK ? r->next : r->state)) {
        return diverges(r, "it goes elsewhere");
    }
    if (status == COH_OK) {
        if (message) {
            count_message(r->node.id, &r->ev, -1);
        }
        send_all(r, &acts);
    }
    r->ready = false;
    steps++;
    return true;
}

/* True if all logs came to their end without a divergence. */
static bool replay(void)
{
    bool any = true;

    while (any) {
        any = false;
        for (unsigned n = 0; n < map->nodes; n++) {
            while (read_step(&replica[n]) && has_arrived(&replica[n])) {
                if (!replay_step(&replica[n])) {
                    return false;
                }
                any = true;
            }
        }
    }
    for (unsigned n = 0; n < map->nodes; n++) {
        if (replica[n].ready) {
            return diverges(&replica[n], "nobody has sent this");
        }
    }
    return true;
}

static bool start(unsigned nodes, char **logs, uint64_t pages)
{
    map = cluster_map_new_even(nodes, pages, CLUSTER_STRETCH_BITS);
    under_way = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned n = 0; n < nodes; n++) {
        replica[n].name = logs[n];
        replica[n].log = fopen(logs[n], "r");
        replica[n].node = (CohNode) {
            .id = n, .map = map, .peer = g_malloc0(coh_node_peer_bytes(map)),
        };
        coh_node_set_homes(&replica[n].node,
                           g_malloc(coh_node_index_bytes(map)),
                           g_malloc0(coh_node_home_bytes(map, n)));
        if (!replica[n].log) {
            perror(logs[n]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    uint64_t pages = argc > 1 ? g_ascii_strtoull(argv[1], NULL, 0) : 0;
    int nodes = argc - 2;

    if (nodes < 2 || nodes > COH_NODES_MAX || pages < (uint64_t)nodes) {
        fprintf(stderr, "coh-replay PAGES LOG-OF-NODE-0 LOG-OF-NODE-1 ...\n"
                "Even shares of RAM only.\n");
        return 2;
    }
    if (!start(nodes, argv + 2, pages) || !replay()) {
        return 1;
    }
    printf("%" PRIu64 " steps of %d nodes follow the tables\n", steps, nodes);
    return steps ? 0 : 1;
}
