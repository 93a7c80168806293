/*
 * The protocol's tables are complete, and hostile events change nothing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"

static void check_row(const CohRow *row, const char *state, const char *event,
                      unsigned states, bool home)
{
    switch (row->kind) {
    case COH_ROW_STEP:
        g_assert_cmpint(row->next, <, states);
        for (int i = 0; i < COH_ROW_ACTS_MAX; i++) {
            g_assert_cmpint(row->acts[i], <, COH_ACT__MAX);
            if (row->acts[i]) {
                g_assert_true(home == (row->acts[i] >= COH_ACT_FWD_GETS));
            }
        }
        break;
    case COH_ROW_STALL:
        break;
    case COH_ROW_NEVER:
        g_assert_nonnull(row->why);
        break;
    default:
        g_error("no row for %s + %s", state, event);
    }
}

static void test_complete(void)
{
    for (unsigned s = 0; s < COH_PEER__MAX; s++) {
        for (unsigned e = 0; e < COH_PEV__MAX; e++) {
            check_row(&coh_peer_table[s][e], coh_peer_state_name(s),
                      coh_peer_event_name(e), COH_PEER__MAX, false);
        }
    }
    for (unsigned s = 0; s < COH_HOME__MAX; s++) {
        for (unsigned e = 0; e < COH_HEV__MAX; e++) {
            check_row(&coh_home_table[s][e], coh_home_state_name(s),
                      coh_home_event_name(e), COH_HOME__MAX, true);
        }
    }
}

/* A page leaves memory before anybody else may write to it. */
static void test_order_of_effects(void)
{
    for (unsigned s = 0; s < COH_PEER__MAX; s++) {
        for (unsigned e = 0; e < COH_PEV__MAX; e++) {
            const CohRow *row = &coh_peer_table[s][e];
            int zap = -1, copy = -1, send = -1;

            for (int i = 0; i < COH_ROW_ACTS_MAX; i++) {
                zap = row->acts[i] == COH_ACT_ZAP ||
                      row->acts[i] == COH_ACT_TAKE ? i : zap;
                copy = row->acts[i] == COH_ACT_COPY ? i : copy;
                send = row->acts[i] == COH_ACT_SEND_DATA_M ||
                       row->acts[i] == COH_ACT_SEND_ACK ? i : send;
            }
            if (send >= 0) {
                g_assert_cmpint(zap, >=, 0);
                g_assert_cmpint(zap, <, send);
            }
            if (copy >= 0 && zap >= 0) {
                g_assert_cmpint(copy, <, zap);
            }
        }
    }
}

#define WORLD_PAGES 8

typedef struct World {
    CohPeer peer[WORLD_PAGES];
    CohHome home[WORLD_PAGES];
    CohHome *index[WORLD_PAGES];
    CohNode node;
} World;

/* Node 0's world. */
static void world_init(World *w, const ClusterMap *map)
{
    memset(w, 0, sizeof(*w));
    w->node.map = map;
    w->node.peer = w->peer;
    coh_node_set_homes(&w->node, w->index, w->home);
}

static ClusterMap *three_nodes(void)
{
    static const CohPage share[] = { 4, 2, WORLD_PAGES - 6 };

    return cluster_map_new(3, WORLD_PAGES, 0, share);
}

static void test_first_touch(void)
{
    ClusterMap *map = three_nodes();
    World w;
    CohEvent ev = { .type = COH_EV_STORE, .page = 1 };
    CohActions acts;

    world_init(&w, map);
    g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_OK);
    g_assert_cmpint(acts.n, ==, 1);
    g_assert_cmpint(acts.act[0].msg, ==, COH_EV_GETM);
    /* The home is this node: no message leaves it. */
    g_assert_true(coh_set_is_only(&acts.act[0].to, 0));
    ev.type = COH_EV_GETM;
    g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_OK);
    g_assert_cmpint(acts.act[0].msg, ==, COH_EV_ZERO);
    cluster_map_free(map);
}

/* A node's stretches need no neighbours, and the last one may be short. */
static void test_stretches(void)
{
    static const CohPage share[] = { 2, 2, 3 };
    ClusterMap *first = cluster_map_new(3, 7, 1, share);
    ClusterMap *map = cluster_map_next(first, 3, 0);
    CohEvent ev = { .type = COH_EV_GETM, .from = 1, .page = 6 };
    CohActions acts;
    World w;

    world_init(&w, map);
    g_assert_cmpint(coh_node_home_bytes(map, 0), ==, 4 * sizeof(CohHome));
    g_assert_true(coh_node_home(&w.node, 0) == &w.home[0]);
    g_assert_true(coh_node_home(&w.node, 1) == &w.home[1]);
    g_assert_null(coh_node_home(&w.node, 2));
    g_assert_null(coh_node_home(&w.node, 5));
    g_assert_true(coh_node_home(&w.node, 6) == &w.home[2]);
    g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_OK);
    g_assert_cmpint(w.home[2].owner, ==, 1);
    /* Of another node's stretch, and behind the end. */
    ev.page = 4;
    g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_BROKEN);
    ev.page = 7;
    g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_BROKEN);
    cluster_map_free(map);
    cluster_map_free(first);
}

/* --------------------------------------- a sharer writes a shared page */

/* All others, and the one that writes. */
#define SHARING_NODES_MAX 8

/* With page 0 at home on node 0, and a copy of it on each node. */
static void world_share(World *w, const ClusterMap *map)
{
    unsigned nodes = map->nodes;

    world_init(w, map);
    for (unsigned n = 0; n < nodes; n++) {
        CohEvent ev = { .type = COH_EV_GETS, .from = n };
        CohActions acts;

        g_assert_cmpint(coh_step(&w->node, &ev, &acts), ==, COH_OK);
        ev.type = COH_EV_DONE;
        g_assert_cmpint(coh_step(&w->node, &ev, &acts), ==, COH_OK);
    }
    g_assert_cmpint(w->home[0].state, ==, COH_HOME_S);
    g_assert_cmpint(coh_set_count(&w->home[0].sharers), ==, nodes);
}

/* Each of the others hears of it once, and no other node does. */
static int check_told(const CohActions *acts, CohNodeId writer, unsigned nodes)
{
    CohNodeSet told = coh_set_empty();
    int grants = 0, acks = 0;

    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];

        g_assert_cmpint(d->act, ==, COH_ACT_NONE);
        if (d->msg == COH_EV_GRANT) {
            g_assert_true(coh_set_is_only(&d->to, writer));
            acks = d->acks;
            grants++;
            continue;
        }
        g_assert_cmpint(d->msg, ==, COH_EV_INV);
        g_assert_cmpint(d->requester, ==, writer);
        for (CohNodeId n = 0; n < nodes; n++) {
            if (coh_set_has(&d->to, n)) {
                g_assert_false(coh_set_has(&told, n));
                coh_set_add(&told, n);
            }
        }
    }
    g_assert_cmpint(grants, ==, 1);
    g_assert_cmpint(coh_set_count(&told), ==, nodes - 1);
    g_assert_false(coh_set_has(&told, writer));
    return acks;
}

/* The writer goes on with the last of them, whenever the grant comes. */
static void check_awaited(World *w, CohNodeId writer, int acks)
{
    for (int before = 0; before <= acks; before++) {
        CohEvent ev = { .type = COH_EV_STORE, .from = writer };
        CohActions acts;

        w->node.id = writer;
        w->peer[0] = (CohPeer) { .state = COH_PEER_S };
        g_assert_cmpint(coh_step(&w->node, &ev, &acts), ==, COH_OK);
        for (int n = 0; n <= acks; n++) {
            /* An acknowledgement counts whichever node it is of. */
            ev = (CohEvent) { .type = COH_EV_ACK };
            if (n == before) {
                ev = (CohEvent) { .type = COH_EV_GRANT, .acks = acks };
            }
            g_assert_cmpint(w->peer[0].state, !=, COH_PEER_XM_I);
            g_assert_cmpint(coh_step(&w->node, &ev, &acts), ==, COH_OK);
        }
        g_assert_cmpint(w->peer[0].state, ==, COH_PEER_XM_I);
        g_assert_cmpint(acts.act[0].act, ==, COH_ACT_UNPROTECT);
    }
}

/*
 * All invalidations leave in the step that grants the upgrade, so they travel
 * together: the home hears nothing more until the writer is done.
 */
static void test_upgrade_tells_all(void)
{
    for (unsigned nodes = 2; nodes <= SHARING_NODES_MAX; nodes++) {
        ClusterMap *map = cluster_map_new_even(nodes, 1, 0);

        for (CohNodeId writer = 0; writer < nodes; writer++) {
            CohEvent ev = { .type = COH_EV_GETM, .from = writer };
            CohActions acts;
            World w;
            int acks;

            world_share(&w, map);
            g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_OK);
            g_assert_cmpint(acts.event, ==, COH_HEV_UPGRADE);
            acks = check_told(&acts, writer, nodes);
            g_assert_cmpint(acks, ==, nodes - 1);
            ev.type = COH_EV_DONE;
            g_assert_cmpint(coh_step(&w.node, &ev, &acts), ==, COH_OK);
            g_assert_cmpint(acts.n, ==, 0);
            g_assert_cmpint(w.home[0].state, ==, COH_HOME_M);
            check_awaited(&w, writer, acks);
        }
        cluster_map_free(map);
    }
}

/* -------------------------------------------------------- hostile peers */

/* Random bytes of a peer are refused or obeyed, never more. */
static void test_hostile(void)
{
    ClusterMap *map = three_nodes();
    World w;

    world_init(&w, map);
    for (int n = 0; n < 2000000; n++) {
        World before = w;
        CohActions acts;
        CohEvent ev = {
            .type = g_test_rand_int_range(0, 256),
            .from = g_test_rand_int_range(0, 5),
            .requester = g_test_rand_bit() ? g_test_rand_int_range(0, 6)
                                           : COH_NODE_NONE,
            .acks = g_test_rand_int_range(-70, 70),
            .page = g_test_rand_int_range(0, 10),
        };

        if (n & 1) {
            ev.type %= COH_EV__MAX;
        }
        if (coh_step(&w.node, &ev, &acts) != COH_OK) {
            g_assert_cmpint(memcmp(&before, &w, sizeof(w)), ==, 0);
        } else {
            g_assert_cmpint(acts.n, <=, COH_DO_MAX);
        }
        if (n % 1000 == 0) {
            world_init(&w, map);
        }
    }
    cluster_map_free(map);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/coh/complete", test_complete);
    g_test_add_func("/coh/order-of-effects", test_order_of_effects);
    g_test_add_func("/coh/first-touch", test_first_touch);
    g_test_add_func("/coh/stretches", test_stretches);
    g_test_add_func("/coh/upgrade-tells-all", test_upgrade_tells_all);
    g_test_add_func("/coh/hostile", test_hostile);
    return g_test_run();
}
