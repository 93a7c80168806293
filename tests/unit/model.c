/*
 * Explicit-state search of the real protocol
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "model.h"

#define MSGS_MAX 24
/* Without new requests everything ends within this many events. */
#define END_WITHIN 100

enum { MEM_NONE, MEM_RO, MEM_RW };

/* Made by a row for its next message: the value of an operation. */
#define OPERATED 2

/* A node's operation: none, asked for, or to be done here when it can be. */
enum { OP_NONE, OP_ASKED, OP_HERE };

/* Bytes that a node keeps: none, old ones, the latest, or a device's. */
enum { KEPT_NONE, KEPT_OLD, KEPT_LATEST, KEPT_DEVICE };

/* Under way: a message, or an effect on memory that is yet to happen. */
typedef struct Msg {
    uint8_t type, effect, page, from, to, requester;
    int8_t acks;
    uint8_t fresh;          /* its data was written last */
    uint8_t fault;          /* a thread waits since then */
} Msg;

typedef struct PageState {
    CohPeer peer[MODEL_NODES_MAX];
    CohHome home;
    uint8_t mem[MODEL_NODES_MAX], fresh[MODEL_NODES_MAX];
    uint8_t kept[MODEL_NODES_MAX];
    /* Accesses, 1: read, 2: write; all 1 where they need not be told apart. */
    uint8_t faulted[MODEL_NODES_MAX];   /* and were not seen yet */
    uint8_t waits[MODEL_NODES_MAX];     /* were seen, and not woken yet */
    uint8_t evicting[MODEL_NODES_MAX];  /* its PUT is under way */
    uint8_t op[MODEL_NODES_MAX];        /* its operation on a word: Op */
    uint8_t filling[MODEL_NODES_MAX];   /* its device's bytes are not there */
} PageState;

typedef struct State {
    PageState page[MODEL_PAGES_MAX];
    uint8_t msgs;
    Msg msg[MSGS_MAX];
} State;

typedef struct Search {
    const ModelShape *shape;
    ClusterMap *map;        /* page 0 alone, of node 0 */
    GHashTable *seen;
    GQueue todo;
    ModelResult result;
} Search;

static int msg_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(Msg));
}

static guint state_hash(gconstpointer key)
{
    const uint32_t *word = key;
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < sizeof(State) / sizeof(*word); i++) {
        hash = (hash ^ word[i]) * 0x100000001b3;
    }
    return hash ^ hash >> 32;
}

static gboolean state_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(State));
}

static char *describe(const Search *s, const State *st)
{
    GString *text = g_string_new(NULL);

    for (unsigned p = 0; p < s->shape->pages; p++) {
        const PageState *page = &st->page[p];

        g_string_append_printf(text, "page %u: home %s owner %d requester"
                               " %d\n", p,
                               coh_home_state_name(page->home.state),
                               page->home.owner, page->home.requester);
        for (unsigned n = 0; n < s->shape->nodes; n++) {
            g_string_append_printf(text, "  node %u: %s%s acks %d mem %d"
                                   " fresh %d waits %d\n", n,
                                   coh_set_has(&page->home.sharers, n)
                                   ? "sharer " : "",
                                   coh_peer_state_name(page->peer[n].state),
                                   page->peer[n].acks, page->mem[n],
                                   page->fresh[n], page->waits[n]);
        }
    }
    for (int i = 0; i < st->msgs; i++) {
        const Msg *m = &st->msg[i];

        g_string_append_printf(text, "  page %d: %s %d -> %d\n", m->page,
                               m->effect ? coh_act_name(m->effect)
                                         : coh_event_name(m->type),
                               m->from, m->to);
    }
    return g_string_free(text, FALSE);
}

static void violated(Search *s, const State *st, const char *what)
{
    if (!s->result.violation) {
        s->result.violation = what;
        s->result.where = describe(s, st);
    }
}

/* ------------------------------------------------------------ invariants */

static void check_page(Search *s, const State *st, const PageState *page)
{
    int writers = 0, readers = 0;

    for (unsigned n = 0; n < s->shape->nodes; n++) {
        writers += page->mem[n] == MEM_RW;
        readers += page->mem[n] == MEM_RO;
        if (page->mem[n] != MEM_NONE && !page->fresh[n]) {
            violated(s, st, "a stale copy can be read");
        }
    }
    if (writers > 1 || (writers && readers)) {
        violated(s, st, "more than a single writer or many readers");
    }
}

static bool directory_agrees(const Search *s, const PageState *page)
{
    for (unsigned n = 0; n < s->shape->nodes; n++) {
        int wanted = MEM_NONE;

        if (page->home.state == COH_HOME_S &&
            coh_set_has(&page->home.sharers, n)) {
            wanted = MEM_RO;
        } else if (page->home.state == COH_HOME_M && page->home.owner == n) {
            wanted = MEM_RW;
        }
        if (page->mem[n] != wanted || page->peer[n].acks ||
            page->peer[n].state != (wanted == MEM_RO ? COH_PEER_S :
                                    wanted == MEM_RW ? COH_PEER_M
                                                     : COH_PEER_I)) {
            return false;
        }
    }
    return page->home.state == COH_HOME_U || page->home.state == COH_HOME_M ||
           (page->home.state == COH_HOME_S &&
            !coh_set_is_empty(&page->home.sharers));
}

static void check_quiet(Search *s, const State *st)
{
    for (unsigned p = 0; p < s->shape->pages; p++) {
        if (!directory_agrees(s, &st->page[p])) {
            violated(s, st, "the directory is not what the nodes hold");
        }
        for (unsigned n = 0; n < s->shape->nodes; n++) {
            if (st->page[p].faulted[n] || st->page[p].waits[n]) {
                violated(s, st, "an access waits for ever");
            }
            if (st->page[p].op[n]) {
                violated(s, st, "an operation waits for ever");
            }
            if (st->page[p].filling[n]) {
                violated(s, st, "a device's bytes never come");
            }
        }
    }
}

/* --------------------------------------------------------------- effects */

/* An event of the node itself. */
static Msg local(uint8_t type, unsigned n, unsigned page)
{
    return (Msg) {
        .type = type, .page = page, .from = n, .to = n, .requester = 0xff,
    };
}

static void post(Search *s, State *st, Msg msg)
{
    if (st->msgs == MSGS_MAX) {
        violated(s, st, "messages without end");
        return;
    }
    st->msg[st->msgs++] = msg;
}

static bool installs(CohAct act)
{
    return (act >= COH_ACT_INSTALL_RO && act <= COH_ACT_INSTALL_KEPT) ||
           act == COH_ACT_UNPROTECT;
}

static void guest_writes(State *st, unsigned n, unsigned p);

/* A device's bytes are as if they had been written at this moment. */
static void install_kept(Search *s, State *st, PageState *page, unsigned n)
{
    page->fresh[n] = page->kept[n] == KEPT_LATEST;
    if (page->kept[n] == KEPT_DEVICE) {
        if (!page->filling[n]) {
            violated(s, st, "a page is filled twice");
        }
        page->filling[n] = 0;
        guest_writes(st, n, page - st->page);
    } else if (page->filling[n]) {
        violated(s, st, "a page is filled with other bytes");
    }
    page->kept[n] = KEPT_NONE;
}

static void install(Search *s, State *st, PageState *page, unsigned n,
                    CohAct act, uint8_t fresh)
{
    bool upgrade = act == COH_ACT_UNPROTECT;

    if ((page->mem[n] == MEM_RO) != upgrade || page->mem[n] == MEM_RW) {
        violated(s, st, "an installation over something else");
    }
    page->mem[n] = act == COH_ACT_INSTALL_RO ? MEM_RO : MEM_RW;
    if (act == COH_ACT_INSTALL_KEPT) {
        install_kept(s, st, page, n);
    } else if (!upgrade) {
        page->fresh[n] = act == COH_ACT_INSTALL_ZERO || fresh;
    }
}

/* A new value: all other copies, wherever, are old now. */
static void guest_writes(State *st, unsigned n, unsigned p)
{
    PageState *page = &st->page[p];

    for (unsigned other = 0; other < MODEL_NODES_MAX; other++) {
        page->fresh[other] = 0;
        if (page->kept[other] == KEPT_LATEST) {
            page->kept[other] = KEPT_OLD;
        }
    }
    for (int i = 0; i < st->msgs; i++) {
        if (st->msg[i].page == p) {
            st->msg[i].fresh &= OPERATED;
        }
    }
    page->fresh[n] = 1;
}

static bool happen(Search *s, State *st, const Msg *msg);

static void do_memory(Search *s, State *st, const Msg *m, uint8_t *copied)
{
    PageState *page = &st->page[m->page];
    unsigned n = m->to;
    Msg adopt;

    switch (m->effect) {
    case COH_ACT_KEEP:
        page->kept[n] = page->filling[n] ? KEPT_DEVICE
                        : m->fresh ? KEPT_LATEST : KEPT_OLD;
        break;
    case COH_ACT_PROTECT:
        if (page->mem[n] != MEM_RW) {
            violated(s, st, "protects what is not writable");
        }
        page->mem[n] = MEM_RO;
        break;
    case COH_ACT_COPY:
        if (page->mem[n] != MEM_RO) {
            violated(s, st, "copies what is absent or may change");
        }
        *copied = page->fresh[n];
        break;
    case COH_ACT_TAKE:
        *copied = page->fresh[n];
        /* fall through */
    case COH_ACT_ZAP:
        if (page->mem[n] == MEM_NONE) {
            violated(s, st, "removes what is absent");
        }
        page->mem[n] = page->fresh[n] = 0;
        break;
    case COH_ACT_WAKE:
        page->waits[n] = 0;
        break;
    case COH_ACT_FETCH:
        page->op[n] = OP_HERE;
        /* fall through */
    case COH_ACT_ADOPT:
        adopt = local(COH_EV_STORE, n, m->page);
        happen(s, st, &adopt);
        break;
    case COH_ACT_OPERATE:
        *copied = OPERATED;
        if (page->mem[n] != MEM_RW || !page->fresh[n]) {
            violated(s, st, "operates on what others may have or change");
        }
        guest_writes(st, n, m->page);
        break;
    case COH_ACT_ANSWER:
        if (!page->op[n] || !(m->fresh & OPERATED)) {
            violated(s, st, "an operation is done twice, or not at all");
        }
        page->op[n] = OP_NONE;
        break;
    default:
        if (installs(m->effect)) {
            install(s, st, page, n, m->effect, m->fresh);
            post(s, st, local(COH_EV_INSTALLED, n, m->page));
        }
        break;
    }
}

static void send(Search *s, State *st, unsigned from, unsigned page,
                 const CohDo *d, uint8_t fresh)
{
    for (unsigned to = 0; to < MODEL_NODES_MAX; to++) {
        if (coh_set_has(&d->to, to)) {
            post(s, st, (Msg) { d->msg, 0, page, from, to,
                                d->requester == COH_NODE_NONE
                                ? 0xff : d->requester, d->acks,
                                d->data || d->msg == COH_EV_VALUE ? fresh : 0,
                                0 });
        }
    }
    if (d->msg == COH_EV_PUT) {
        st->page[page].evicting[from] = 1;
    }
}

static void perform(Search *s, State *st, const Msg *cause, unsigned n,
                    const CohActions *acts)
{
    uint8_t copied = 0;
    bool sent = false;

    for (unsigned i = 0; i < acts->n; i++) {
        const CohDo *d = &acts->act[i];
        Msg effect = {
            .effect = d->act, .page = cause->page, .from = n, .to = n,
            .fresh = cause->fresh | copied,
        };

        if (d->act == COH_ACT_NONE) {
            send(s, st, n, cause->page, d, copied);
            sent = true;
        } else if (installs(d->act) || sent) {
            /* Takes its time; earlier messages may overtake it. */
            post(s, st, effect);
        } else {
            do_memory(s, st, &effect, &copied);
        }
    }
}

/* The page has come for an operation that no other node could do. */
static void operate_here(Search *s, State *st, unsigned n, unsigned p)
{
    Msg operate = local(COH_EV_OPERATE, n, p);
    Msg store = local(COH_EV_STORE, n, p);
    uint8_t state = st->page[p].peer[n].state;

    if (st->page[p].op[n] != OP_HERE) {
        return;
    }
    if (state == COH_PEER_M) {
        happen(s, st, &operate);
    } else if (state == COH_PEER_S || state == COH_PEER_I) {
        /* The page that was under way was only to be read, or went again. */
        happen(s, st, &store);
    }
}

/* Let @msg happen; false if it must wait. */
static bool happen(Search *s, State *st, const Msg *msg)
{
    PageState *page = &st->page[msg->page];
    uint8_t unused;
    CohHome *home = &page->home;
    CohNode node = {
        .id = msg->to, .map = s->map,
        .peer = &page->peer[msg->to], .home = &home,
    };
    CohEvent ev = {
        .type = msg->type, .from = msg->from, .acks = msg->acks,
        .requester = msg->requester == 0xff ? COH_NODE_NONE : msg->requester,
    };
    CohActions acts;

    if (msg->effect) {
        do_memory(s, st, msg, &unused);
        return true;
    }
    if (msg->type == COH_EV_PUT) {
        page->evicting[msg->from] = 0;
    } else if (msg->fault) {
        page->faulted[msg->to] &= ~msg->fault;
        page->waits[msg->to] |= msg->fault;
    }
    switch (coh_step(&node, &ev, &acts)) {
    case COH_STALLED:
        return false;
    case COH_BROKEN:
        violated(s, st, acts.why);
        return true;
    default:
        perform(s, st, msg, msg->to, &acts);
        operate_here(s, st, msg->to, msg->page);
        return true;
    }
}

static bool happen_nth(Search *s, const State *from, int i, State *to)
{
    Msg msg = from->msg[i];

    *to = *from;
    to->msg[i] = to->msg[--to->msgs];
    memset(&to->msg[to->msgs], 0, sizeof(Msg));
    return happen(s, to, &msg);
}

/* ---------------------------------------------------------------- search */

static void visit(Search *s, State *st)
{
    State *copy;

    qsort(st->msg, st->msgs, sizeof(Msg), msg_compare);
    s->result.transitions++;
    if (g_hash_table_contains(s->seen, st)) {
        return;
    }
    copy = g_memdup2(st, sizeof(*st));
    for (unsigned p = 0; p < s->shape->pages; p++) {
        check_page(s, copy, &copy->page[p]);
    }
    if (!copy->msgs) {
        check_quiet(s, copy);
    }
    g_hash_table_add(s->seen, copy);
    g_queue_push_tail(&s->todo, copy);
}

/* When no more is asked, all that was asked ends. */
static void check_end(Search *s, const State *from)
{
    State st = *from, next;

    for (int events = 0; st.msgs && !s->result.violation; events++) {
        int i = 0;

        while (i < st.msgs && !happen_nth(s, &st, i, &next)) {
            i++;
        }
        if (i == st.msgs) {
            violated(s, &st, "deadlock");
        } else if (events == END_WITHIN) {
            violated(s, &st, "livelock");
        }
        st = next;
    }
    if (!s->result.violation) {
        check_quiet(s, &st);
    }
}

static void guest_access(Search *s, const State *from, unsigned n, unsigned p,
                         bool write)
{
    State st = *from;
    uint8_t mem = st.page[p].mem[n];
    uint8_t *faulted = &st.page[p].faulted[n];
    Msg access = local(write ? COH_EV_STORE : COH_EV_LOAD, n, p);

    access.fault = write && s->shape->late_faults > 1 ? 2 : 1;
    if (write && mem == MEM_RW) {
        guest_writes(&st, n, p);
    } else if (mem == MEM_RW || (mem == MEM_RO && !write)) {
        return;
    } else if (!s->shape->late_faults) {
        happen(s, &st, &access);
    } else if (!(*faulted & access.fault) &&
               (!*faulted || s->shape->late_faults > 1)) {
        /* Seen later, when the page may have come or gone. */
        *faulted |= access.fault;
        post(s, &st, access);
    } else {
        return;
    }
    visit(s, &st);
}

static void evict(Search *s, const State *from, unsigned n, unsigned p)
{
    State st = *from;
    Msg eviction = local(COH_EV_EVICT, n, p);

    if (!st.page[p].evicting[n]) {
        happen(s, &st, &eviction);
        visit(s, &st);
    }
}

static void operate(Search *s, const State *from, unsigned n, unsigned p)
{
    State st = *from;
    Msg operation = local(COH_EV_OPERATE, n, p);

    if (n + s->shape->operators >= s->shape->nodes && !st.page[p].op[n]) {
        st.page[p].op[n] = OP_ASKED;
        happen(s, &st, &operation);
        visit(s, &st);
    }
}

/* As an engine does it: of an absent page only. */
static void fill(Search *s, const State *from, unsigned n, unsigned p)
{
    State st = *from;
    Msg filling = local(COH_EV_FILL, n, p);

    if (n + s->shape->fillers >= s->shape->nodes &&
        st.page[p].peer[n].state == COH_PEER_I && !st.page[p].filling[n]) {
        st.page[p].filling[n] = 1;
        happen(s, &st, &filling);
        visit(s, &st);
    }
}

static void expand(Search *s, const State *st)
{
    State next;

    for (int i = 0; i < st->msgs; i++) {
        if (happen_nth(s, st, i, &next)) {
            visit(s, &next);
        }
    }
    for (unsigned p = 0; p < s->shape->pages; p++) {
        for (unsigned n = 0; n < s->shape->nodes; n++) {
            guest_access(s, st, n, p, false);
            guest_access(s, st, n, p, true);
            evict(s, st, n, p);
            operate(s, st, n, p);
            fill(s, st, n, p);
        }
    }
    check_end(s, st);
}

ModelResult model_search(const ModelShape *shape)
{
    Search s = { .shape = shape };
    State first, *st;
    guint level;

    G_STATIC_ASSERT(sizeof(State) % sizeof(uint32_t) == 0);
    memset(&first, 0, sizeof(first));
    s.map = cluster_map_new_even(shape->nodes, 1, 0);
    s.seen = g_hash_table_new_full(state_hash, state_equal, g_free, NULL);
    g_queue_init(&s.todo);
    visit(&s, &first);
    level = 1;
    while (!s.result.violation && (st = g_queue_pop_head(&s.todo))) {
        expand(&s, st);
        if (!--level) {
            level = g_queue_get_length(&s.todo);
            s.result.depth += level > 0;
        }
        if (g_hash_table_size(s.seen) > shape->states_max) {
            violated(&s, st, "states without end");
        }
    }
    s.result.states = g_hash_table_size(s.seen);
    g_queue_clear(&s.todo);
    g_hash_table_unref(s.seen);
    cluster_map_free(s.map);
    return s.result;
}
