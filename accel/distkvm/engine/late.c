/*
 * distkvm: the engine's part for pages that do not come
 *
 * A node may answer pings and still keep a page.  The requester knows since
 * when it waits, and which nodes have done their part; the page's home knows
 * which it has asked.  So the requester tells the home that it misses the page;
 * the home answers that it is at it, and knows which node owes.  After
 * dead-after-ms that is named, after twice as long it is a loss.  A requester
 * blames the home if that does not answer; nobody else sees the home's part.
 * Engine thread only.  Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "engine-internal.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/trace.h"

/* A requester says that it misses a page by then, after its time. */
#define COMPLAIN_NS (400 * SCALE_MS)
/* A page's keeper is lost after so many limits. */
#define LOSS_LIMITS 2
/* A home that only says that it is at it is to blame after so many. */
#define EXCUSED_LIMITS 4
/* Looks at one page: this process may have been stopped between two. */
#define LOOKS_MIN 2

/* ------------------------------------------------------------ what pends */

static const CohHome *own_entry(Engine *e, CohPage page)
{
    return page < e->config.map->pages ? coh_node_home(&e->node, page) : NULL;
}

static bool is_pending(Engine *e, const EngineLates *lates,
                       const EngineLate *late)
{
    if (!late->since_ns) {
        return false;
    }
    return lates == &e->serving
           ? coh_home_is_busy(own_entry(e, late->page)->state)
           : engine_is_fetching(e->node.peer[late->page].state);
}

/* NULL if nothing is known of @page. */
static EngineLate *find(Engine *e, EngineLates *lates, CohPage page)
{
    EngineLate *late = &lates->slot[page % ENGINE_LATES];

    if (late->since_ns && late->page == page) {
        return late;
    }
    return g_hash_table_size(lates->more)
           ? g_hash_table_lookup(lates->more, &page) : NULL;
}

/*
 * Something begins for @page: nothing of an earlier time counts.  Most pages
 * find their slot free, as few are under way at a time.
 */
static EngineLate *begin(Engine *e, EngineLates *lates, CohPage page)
{
    EngineLate *late = &lates->slot[page % ENGINE_LATES];

    if (late->page != page && is_pending(e, lates, late)) {
        late = g_new(EngineLate, 1);
        g_hash_table_insert(lates->more, g_memdup2(&page, sizeof(page)), late);
    } else if (g_hash_table_size(lates->more)) {
        g_hash_table_remove(lates->more, &page);
    }
    *late = (EngineLate) { .page = page, .since_ns = get_clock() };
    return late;
}

void engine_late_init(Engine *e)
{
    e->serving.more = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                            g_free, g_free);
    e->fetching.more = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                             g_free, g_free);
}

void engine_late_free(Engine *e)
{
    g_hash_table_unref(e->serving.more);
    g_hash_table_unref(e->fetching.more);
}

void engine_fetch_begins(Engine *e, CohPage page)
{
    begin(e, &e->fetching, page);
}

void engine_heard(Engine *e, CohPage page, CohNodeId from)
{
    EngineLate *late = find(e, &e->fetching, page);

    if (late) {
        coh_set_add(&late->nodes, from);
    }
}

void engine_service_begins(Engine *e, CohPage page, CohNodeId requester)
{
    begin(e, &e->serving, page)->requester = requester;
}

void engine_asked(Engine *e, CohPage page, const CohNodeSet *asked)
{
    EngineLate *late = find(e, &e->serving, page);

    for (unsigned w = 0; late && w < COH_SET_WORDS; w++) {
        late->nodes.word[w] |= asked->word[w];
    }
}

/* ------------------------------------------------------ naming and blaming */

static int64_t age_ns(const EngineLate *late)
{
    return get_clock() - late->since_ns;
}

/* Once for each page and time that it is awaited. */
static void name(Engine *e, EngineLate *late, CohNodeId node, const char *role)
{
    if (!late->named) {
        late->named = true;
        trace_distkvm_late(late->page, node, age_ns(late));
        say_warning("distkvm: page 0x%" PRIx64 " has been awaited for %" PRId64
                    " ms from node %u, %s", late->page,
                    age_ns(late) / SCALE_MS, node, role);
    }
}

static void blame(Engine *e, const EngineLate *late, CohNodeId node)
{
    g_autofree char *why = g_strdup_printf(
        "page 0x%" PRIx64 " has been awaited for %" PRId64 " ms", late->page,
        age_ns(late) / SCALE_MS);

    trace_distkvm_late(late->page, node, age_ns(late));
    if (node == e->node.id) {
        engine_break(e, why);
    } else {
        e->listener->lost(e->opaque, node, why);
    }
}

/* A node that was asked, and that @heard has not heard of; else none. */
static CohNodeId who_owes(Engine *e, const EngineLate *serving,
                          const CohNodeSet *heard)
{
    for (CohNodeId n = coh_set_next(&serving->nodes, 0); n != COH_NODE_NONE;
         n = coh_set_next(&serving->nodes, n + 1)) {
        if (n != e->node.id && !coh_set_has(heard, n)) {
            return n;
        }
    }
    return COH_NODE_NONE;
}

/* As the page's home: its requester has told what it has heard of. */
static void requester_misses(Engine *e, EngineLate *serving,
                             const CohNodeSet *heard, int64_t limit_ns)
{
    CohNodeId owes = who_owes(e, serving, heard);

    serving->complained = true;
    if (owes == COH_NODE_NONE || age_ns(serving) < limit_ns) {
        return;
    }
    name(e, serving, owes, "which its home has asked for it");
    if (age_ns(serving) > LOSS_LIMITS * limit_ns) {
        blame(e, serving, owes);
    }
}

/* ---------------------------------------------------------------- frames */

static void send_late(Engine *e, CohNodeId to, WireLate what, CohPage page,
                      const CohNodeSet *heard)
{
    uint8_t bytes[sizeof(CohNodeSet)];
    WireFrame frame = {
        .type = WIRE_LATE, .sub = what, .addr = page, .len = sizeof(bytes),
        .payload = bytes,
    };

    for (unsigned w = 0; w < COH_SET_WORDS; w++) {
        stq_le_p(bytes + 8 * w, heard->word[w]);
    }
    engine_send(e, to, &frame);
}

void engine_late_frame(Engine *e, const WireFrame *frame)
{
    int64_t limit_ns = qatomic_read(&e->alive.limit_ns);
    EngineLate *serving = find(e, &e->serving, frame->addr);
    EngineLate *fetching = find(e, &e->fetching, frame->addr);
    CohNodeSet heard;

    for (unsigned w = 0; w < COH_SET_WORDS; w++) {
        heard.word[w] = ldq_le_p((const uint8_t *)frame->payload + 8 * w);
    }
    if (frame->sub == WIRE_LATE_AT_IT) {
        if (fetching && frame->from ==
            cluster_map_home(e->config.map, frame->addr)) {
            fetching->excused_ns = get_clock();
        }
        return;
    }
    /* Served to another first, or to it: either way not forgotten. */
    if (serving && limit_ns && is_pending(e, &e->serving, serving)) {
        if (serving->requester == frame->from) {
            requester_misses(e, serving, &heard, limit_ns);
        }
        send_late(e, frame->from, WIRE_LATE_AT_IT, frame->addr, &heard);
    }
}

/* ----------------------------------------------------------------- looks */

/* A page that another home, or a node that this one asked, does not give. */
static void look_at_fetch(Engine *e, EngineLate *late, int64_t limit_ns)
{
    CohNodeId home = cluster_map_home(e->config.map, late->page);
    EngineLate *serving = find(e, &e->serving, late->page);
    int64_t last_word = MAX(late->since_ns, late->excused_ns);

    if (home != e->node.id) {
        name(e, late, home, "its home");
        send_late(e, home, WIRE_LATE_MISSED, late->page, &late->nodes);
        if ((age_ns(late) > LOSS_LIMITS * limit_ns + COMPLAIN_NS &&
             get_clock() - last_word > limit_ns) ||
            age_ns(late) > EXCUSED_LIMITS * limit_ns) {
            blame(e, late, home);
        }
    } else if (serving && is_pending(e, &e->serving, serving) &&
               serving->requester == e->node.id) {
        requester_misses(e, serving, &late->nodes, limit_ns);
    }
    /* A request behind another's is looked at in look_at_service(). */
    if (home == e->node.id && age_ns(late) > EXCUSED_LIMITS * limit_ns) {
        blame(e, late, home);
    }
}

/*
 * A requester that neither misses its page nor says that it is done; of an
 * operation, the page's owner.
 */
static void look_at_service(Engine *e, EngineLate *late, int64_t limit_ns)
{
    CohNodeId owes = own_entry(e, late->page)->requester;

    if (late->complained || age_ns(late) < limit_ns + COMPLAIN_NS ||
        owes >= e->config.map->nodes || owes == e->node.id) {
        return;
    }
    name(e, late, owes, "which has not said that it is done with it");
    if (age_ns(late) > LOSS_LIMITS * limit_ns + COMPLAIN_NS) {
        blame(e, late, owes);
    }
}

static void look_at(Engine *e, EngineLates *lates, EngineLate *late,
                    int64_t limit_ns)
{
    if (!is_pending(e, lates, late) || age_ns(late) < limit_ns ||
        ++late->looks < LOOKS_MIN) {
        return;
    }
    if (lates == &e->serving) {
        look_at_service(e, late, limit_ns);
    } else {
        look_at_fetch(e, late, limit_ns);
    }
}

static void look_at_all(Engine *e, EngineLates *lates, int64_t limit_ns)
{
    GHashTableIter iter;
    gpointer late;

    for (unsigned i = 0; i < ENGINE_LATES && !e->failed; i++) {
        look_at(e, lates, &lates->slot[i], limit_ns);
    }
    g_hash_table_iter_init(&iter, lates->more);
    while (g_hash_table_iter_next(&iter, NULL, &late)) {
        if (is_pending(e, lates, late)) {
            look_at(e, lates, late, limit_ns);
        } else {
            g_hash_table_iter_remove(&iter);
        }
    }
}

void engine_look_for_late(Engine *e, int64_t limit_ns)
{
    if (!e->failed) {
        look_at_all(e, &e->fetching, limit_ns);
        look_at_all(e, &e->serving, limit_ns);
    }
}
