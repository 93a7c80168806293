/*
 * coh-print: the protocol as text
 *
 * "tables" prints docs/protocol-tables.rst, "traces" the golden traces: what
 * one access of each kind makes all nodes do, with messages in order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"

/* ---------------------------------------------------------------- tables */

typedef const char *Name(unsigned);

static void print_acts(const CohRow *row)
{
    for (int i = 0; i < COH_ROW_ACTS_MAX && row->acts[i]; i++) {
        printf("%s%s", i ? ", " : "; ", coh_act_name(row->acts[i]));
    }
}

static void print_rows(const CohRow *rows, unsigned states, unsigned events,
                       Name *state_name, Name *event_name)
{
    printf(".. list-table::\n   :header-rows: 1\n\n   * - state\n"
           "     - event\n     - next; actions in order\n");
    for (unsigned s = 0; s < states; s++) {
        for (unsigned e = 0; e < events; e++) {
            const CohRow *row = &rows[s * events + e];

            printf("   * - %s\n     - %s\n     - ", state_name(s),
                   event_name(e));
            if (row->kind == COH_ROW_STEP) {
                printf("**%s**", state_name(row->next));
                print_acts(row);
            } else {
                printf("%s", row->kind == COH_ROW_STALL ? "stalls" : "never: ");
                printf("%s", row->why ?: "");
            }
            printf("\n");
        }
    }
}

/* An arrow for every event that leads somewhere else. */
static void print_picture(const CohRow *rows, unsigned states, unsigned events,
                          Name *state_name, Name *event_name)
{
    printf("::\n\n");
    for (unsigned s = 0; s < states; s++) {
        for (unsigned next = 0; next < states; next++) {
            bool any = false;

            for (unsigned e = 0; e < events; e++) {
                const CohRow *row = &rows[s * events + e];

                if (row->kind == COH_ROW_STEP && row->next == next &&
                    next != s) {
                    printf("%s%s", any ? ", " : "", any ? "" : "   ");
                    if (!any) {
                        printf("%-5s --> %-5s  ", state_name(s),
                               state_name(next));
                    }
                    printf("%s", event_name(e));
                    any = true;
                }
            }
            if (any) {
                printf("\n");
            }
        }
    }
    printf("\n");
}

static void print_tables(void)
{
    printf(".. This page is generated; to renew it:\n"
           "   build/core/tests/sim/coh-print tables\n\n"
           "Tables of the coherence protocol\n"
           "================================\n\n"
           "``docs/protocol.rst`` explains them.\n\n"
           "Peer side: the ways between states\n"
           "----------------------------------\n\n");
    print_picture(&coh_peer_table[0][0], COH_PEER__MAX, COH_PEV__MAX,
                  coh_peer_state_name, coh_peer_event_name);
    printf("Home side: the ways between states\n"
           "----------------------------------\n\n");
    print_picture(&coh_home_table[0][0], COH_HOME__MAX, COH_HEV__MAX,
                  coh_home_state_name, coh_home_event_name);
    printf("Peer side: every state and event\n"
           "--------------------------------\n\n");
    print_rows(&coh_peer_table[0][0], COH_PEER__MAX, COH_PEV__MAX,
               coh_peer_state_name, coh_peer_event_name);
    printf("\nHome side: every state and event\n"
           "--------------------------------\n\n");
    print_rows(&coh_home_table[0][0], COH_HOME__MAX, COH_HEV__MAX,
               coh_home_state_name, coh_home_event_name);
}

/* ---------------------------------------------------------------- traces */

#define NODES 8

typedef struct Scene {
    const char *title;
    /*
     * "1r 2w 1e 2o 1f": node 1 reads, node 2 writes, node 1 evicts, node 2
     * operates on a word, a device of node 1 fills the page; home is 0
     */
    const char *steps;
} Scene;

static const Scene scenes[] = {
    { "a home touches its page first", "0w" },
    { "another node touches it first", "1r" },
    { "the home reads what another owns", "1w 0r" },
    { "a third node reads what another owns", "1w 2r" },
    { "a third node reads what the home shares", "0w 1r 2r" },
    { "an owner loses the page to another writer", "1w 2w" },
    { "a stranger writes what others read", "0w 1r 2r 3w" },
    { "a sharer writes what others read", "1w 2r 3r 2w" },
    { "one of eight sharers writes: all others are told at once",
      "0w 1r 2r 3r 4r 5r 6r 7r 3w" },
    { "the only sharer left writes", "1w 2r 2w 1r 2w" },
    { "a sharer gives up its copy", "0w 1r 1e" },
    { "an owner gives up the only copy", "1w 1e" },
    { "the last sharer gives up the only copy", "1w 2r 1e 2e" },
    { "a word is operated on at its owner", "1w 2o" },
    { "a word is operated on by its owner", "1w 1o" },
    { "a word is to be operated on where many have it", "1w 2r 3o" },
    { "a device fills an untouched page", "1f" },
    { "a device fills a page that another node owns", "1w 2f" },
    { "a device fills a page that its home owns", "0w 2f" },
    { "the home's device fills a page that others read", "1w 2r 3r 0f" },
};

typedef struct World {
    ClusterMap *map;        /* page 0 alone, of node 0 */
    CohPeer peer[NODES];
    CohHome home;
    GQueue queue;           /* of Queued */
} World;

typedef struct Queued {
    CohNodeId to;
    CohEvent ev;
} Queued;

static void queue_event(World *w, CohNodeId to, CohEvent ev)
{
    Queued q = { to, ev };

    g_queue_push_tail(&w->queue, g_memdup2(&q, sizeof(q)));
}

static void queue_local(World *w, CohNodeId node, CohEventType type)
{
    queue_event(w, node, (CohEvent) {
        .type = type, .from = node, .requester = COH_NODE_NONE,
    });
}

static void print_do(World *w, CohNodeId node, const CohDo *d)
{
    if (d->act != COH_ACT_NONE) {
        printf(" %s", coh_act_name(d->act));
        if ((d->act >= COH_ACT_INSTALL_RO && d->act <= COH_ACT_INSTALL_KEPT) ||
            d->act == COH_ACT_UNPROTECT) {
            queue_local(w, node, COH_EV_INSTALLED);
        } else if (d->act == COH_ACT_ADOPT || d->act == COH_ACT_FETCH) {
            queue_local(w, node, COH_EV_STORE);
        }
        return;
    }
    for (CohNodeId to = 0; to < NODES; to++) {
        if (coh_set_has(&d->to, to)) {
            printf(" %s%s>%d", coh_event_name(d->msg),
                   d->data ? "(data)" : "", to);
            queue_event(w, to, (CohEvent) {
                .type = d->msg, .from = node, .requester = d->requester,
                .acks = d->acks,
            });
        }
    }
}

static void run_queue(World *w)
{
    Queued *q;

    while ((q = g_queue_pop_head(&w->queue))) {
        CohHome *home = &w->home;
        CohNode node = {
            .id = q->to, .map = w->map, .peer = &w->peer[q->to],
            .home = &home,
        };
        CohActions acts;
        CohStatus status = coh_step(&node, &q->ev, &acts);

        printf("    node %d %s %-5s + %-11s -> %-5s", q->to,
               acts.home ? "home" : "peer",
               acts.home ? coh_home_state_name(acts.state)
                         : coh_peer_state_name(acts.state),
               acts.home ? coh_home_event_name(acts.event)
                         : coh_peer_event_name(acts.event),
               acts.home ? coh_home_state_name(acts.next)
                         : coh_peer_state_name(acts.next));
        if (status != COH_OK) {
            printf(" %s", status == COH_STALLED ? "STALLED" : acts.why);
        }
        for (unsigned i = 0; i < acts.n; i++) {
            print_do(w, q->to, &acts.act[i]);
        }
        printf("\n");
        g_free(q);
    }
}

static void print_scene(const Scene *scene)
{
    World w = { .map = cluster_map_new_even(NODES, 1, 0) };

    g_queue_init(&w.queue);
    printf("%s\n", scene->title);
    for (const char *at = scene->steps; *at; at += at[2] ? 3 : 2) {
        printf("  %.2s\n", at);
        queue_local(&w, at[0] - '0', at[1] == 'r' ? COH_EV_LOAD :
                                     at[1] == 'w' ? COH_EV_STORE :
                                     at[1] == 'o' ? COH_EV_OPERATE :
                                     at[1] == 'f' ? COH_EV_FILL
                                                  : COH_EV_EVICT);
        run_queue(&w);
    }
    cluster_map_free(w.map);
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "tables")) {
        print_tables();
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "traces")) {
        for (size_t i = 0; i < G_N_ELEMENTS(scenes); i++) {
            print_scene(&scenes[i]);
        }
        return 0;
    }
    fprintf(stderr, "coh-print tables | traces\n");
    return 2;
}
