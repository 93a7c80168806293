/*
 * Every interleaving of the real protocol, for one page and a few nodes
 *
 * Explicit-state search of coh_step() itself, until nothing new is found.
 * Messages may be delivered in any order, also those of one pair.  Checked in
 * every state: one writer or many readers; every readable copy is the latest;
 * nothing impossible happens; somebody can always go on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "coh-node.h"

#define NODES_MAX 4
#define MSGS_MAX 20

enum { MEM_NONE, MEM_RO, MEM_RW };

typedef struct Msg {
    uint8_t type, from, to, requester;
    int8_t acks;
    uint8_t fresh;          /* its data is what was written last */
} Msg;

typedef struct State {
    CohPeer peer[NODES_MAX];
    CohHome home;
    uint8_t mem[NODES_MAX], fresh[NODES_MAX], kept[NODES_MAX];
    uint8_t msgs;
    Msg msg[MSGS_MAX];
} State;

typedef struct Search {
    unsigned nodes;
    ClusterMap map;
    GHashTable *seen;
    GQueue todo;
    uint64_t transitions;
} Search;

static int msg_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(Msg));
}

static guint state_hash(gconstpointer key)
{
    const uint8_t *byte = key;
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < sizeof(State); i++) {
        hash = (hash ^ byte[i]) * 0x100000001b3;
    }
    return hash ^ hash >> 32;
}

static gboolean state_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(State));
}

static void describe(const Search *s, const State *st)
{
    g_printerr("home %s sharers %" PRIx64 " owner %d\n",
               coh_home_state_name(st->home.state), st->home.sharers,
               st->home.owner);
    for (unsigned n = 0; n < s->nodes; n++) {
        g_printerr("node %u: %s acks %d mem %d fresh %d\n", n,
                   coh_peer_state_name(st->peer[n].state), st->peer[n].acks,
                   st->mem[n], st->fresh[n]);
    }
    for (int i = 0; i < st->msgs; i++) {
        g_printerr("message %s %d -> %d\n", coh_event_name(st->msg[i].type),
                   st->msg[i].from, st->msg[i].to);
    }
}

static void check_state(const Search *s, const State *st)
{
    int writers = 0, readers = 0;

    for (unsigned n = 0; n < s->nodes; n++) {
        writers += st->mem[n] == MEM_RW;
        readers += st->mem[n] == MEM_RO;
        if (st->mem[n] != MEM_NONE && !st->fresh[n]) {
            describe(s, st);
            g_error("node %u reads stale data", n);
        }
    }
    if (writers > 1 || (writers && readers)) {
        describe(s, st);
        g_error("%d writers and %d readers", writers, readers);
    }
}

static void visit(Search *s, State *st)
{
    qsort(st->msg, st->msgs, sizeof(Msg), msg_compare);
    memset(&st->msg[st->msgs], 0, (MSGS_MAX - st->msgs) * sizeof(Msg));
    s->transitions++;
    if (!g_hash_table_contains(s->seen, st)) {
        State *copy = g_memdup2(st, sizeof(*st));

        check_state(s, copy);
        g_hash_table_add(s->seen, copy);
        g_queue_push_tail(&s->todo, copy);
    }
}

static void send(State *st, Msg msg)
{
    g_assert_cmpint(st->msgs, <, MSGS_MAX);
    st->msg[st->msgs++] = msg;
}

static void do_memory(State *st, unsigned n, CohAct act, uint8_t data,
                      uint8_t *copied)
{
    switch (act) {
    case COH_ACT_INSTALL_RO:
    case COH_ACT_INSTALL_RW:
        st->mem[n] = act == COH_ACT_INSTALL_RO ? MEM_RO : MEM_RW;
        st->fresh[n] = data;
        break;
    case COH_ACT_INSTALL_ZERO:
        st->mem[n] = MEM_RW;
        st->fresh[n] = 1;
        break;
    case COH_ACT_INSTALL_KEPT:
        st->mem[n] = MEM_RW;
        st->fresh[n] = st->kept[n];
        st->kept[n] = 0;
        break;
    case COH_ACT_KEEP:
        st->kept[n] = data;
        break;
    case COH_ACT_UNPROTECT:
        g_assert_cmpint(st->mem[n], ==, MEM_RO);
        st->mem[n] = MEM_RW;
        break;
    case COH_ACT_PROTECT:
        st->mem[n] = MEM_RO;
        break;
    case COH_ACT_COPY:
        g_assert_cmpint(st->mem[n], !=, MEM_NONE);
        *copied = st->fresh[n];
        break;
    case COH_ACT_ZAP:
        st->mem[n] = MEM_NONE;
        st->fresh[n] = 0;
        break;
    default:
        break;
    }
}

static bool installs(CohAct act)
{
    return (act >= COH_ACT_INSTALL_RO && act <= COH_ACT_INSTALL_KEPT) ||
           act == COH_ACT_UNPROTECT;
}

/* Let node @n handle @ev; false if it must wait. */
static bool step(Search *s, State *st, unsigned n, const CohEvent *ev,
                 uint8_t data)
{
    CohNode node = {
        .id = n, .map = &s->map, .peer = &st->peer[n], .home = &st->home,
    };
    uint8_t copied = 0;
    CohActions acts;
    CohStatus status = coh_step(&node, ev, &acts);

    if (status == COH_BROKEN) {
        describe(s, st);
        g_error("node %u: %s from %d: %s", n, coh_event_name(ev->type),
                ev->from, acts.why);
    }
    if (status == COH_STALLED) {
        return false;
    }
    for (unsigned i = 0; i < acts.n; i++) {
        const CohDo *d = &acts.act[i];

        for (unsigned to = 0; d->act == COH_ACT_NONE && to < s->nodes; to++) {
            if (coh_set_has(d->to, to)) {
                send(st, (Msg) { d->msg, n, to, d->requester, d->acks,
                                 d->data ? copied : 0 });
            }
        }
        do_memory(st, n, d->act, data, &copied);
        if (installs(d->act)) {
            send(st, (Msg) { COH_EV_INSTALLED, n, n, 0xff, 0, 0 });
        }
    }
    return true;
}

static void deliver(Search *s, const State *from, int i)
{
    State st = *from;
    Msg msg = st.msg[i];
    CohEvent ev = {
        .type = msg.type, .from = msg.from, .acks = msg.acks,
        .requester = msg.requester == 0xff ? COH_NODE_NONE : msg.requester,
    };

    st.msg[i] = st.msg[--st.msgs];
    if (step(s, &st, msg.to, &ev, msg.fresh)) {
        visit(s, &st);
    }
}

static void guest_access(Search *s, const State *from, unsigned n, bool write)
{
    State st = *from;
    CohEvent ev = {
        .type = write ? COH_EV_STORE : COH_EV_LOAD, .from = n,
    };

    if (write && st.mem[n] == MEM_RW) {
        /* A new value: all other copies, wherever, are old now. */
        memset(st.fresh, 0, sizeof(st.fresh));
        memset(st.kept, 0, sizeof(st.kept));
        for (int i = 0; i < st.msgs; i++) {
            st.msg[i].fresh = 0;
        }
        st.fresh[n] = 1;
        visit(s, &st);
    } else if (st.mem[n] == MEM_NONE || write) {
        step(s, &st, n, &ev, 0);
        visit(s, &st);
    }
}

/* Messages are on their way, but none can be handled: stuck for ever. */
static void check_progress(Search *s, const State *st)
{
    bool waiting = false;

    for (unsigned n = 0; n < s->nodes; n++) {
        waiting |= st->peer[n].state > COH_PEER_M;
    }
    if (!st->msgs && !waiting) {
        return;
    }
    for (int i = 0; i < st->msgs; i++) {
        State copy = *st;
        Msg msg = copy.msg[i];
        CohEvent ev = {
            .type = msg.type, .from = msg.from, .acks = msg.acks,
            .requester = msg.requester == 0xff ? COH_NODE_NONE
                                               : msg.requester,
        };

        copy.msg[i] = copy.msg[--copy.msgs];
        if (step(s, &copy, msg.to, &ev, msg.fresh)) {
            return;
        }
    }
    describe(s, st);
    g_error("deadlock");
}

static void search(unsigned nodes)
{
    Search s = { .nodes = nodes };
    State first;
    State *st;

    memset(&first, 0, sizeof(first));
    s.map.nodes = nodes;
    for (unsigned n = 1; n <= nodes; n++) {
        s.map.page_first[n] = 1;
    }
    s.seen = g_hash_table_new_full(state_hash, state_equal, g_free, NULL);
    g_queue_init(&s.todo);
    visit(&s, &first);
    while ((st = g_queue_pop_head(&s.todo))) {
        check_progress(&s, st);
        for (int i = 0; i < st->msgs; i++) {
            deliver(&s, st, i);
        }
        for (unsigned n = 0; n < nodes; n++) {
            guest_access(&s, st, n, false);
            guest_access(&s, st, n, true);
        }
    }
    g_test_message("%u nodes, 1 page: %u states, %" PRIu64 " transitions",
                   nodes, g_hash_table_size(s.seen), s.transitions);
    g_assert_cmpint(g_hash_table_size(s.seen), >, 50);
    g_hash_table_unref(s.seen);
}

static void test_two(void)
{
    search(2);
}

static void test_three(void)
{
    search(3);
}

static void test_four(void)
{
    search(4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/2-nodes", test_two);
    g_test_add_func("/model/3-nodes", test_three);
    g_test_add_func("/model/4-nodes", test_four);
    return g_test_run();
}
