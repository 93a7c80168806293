/*
 * distkvm: the part of a lane for pages that do not come
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/trace.h"
#include "late.h"

/* After the limit a requester has this long to say that it misses a page. */
#define COMPLAIN_NS (400 * SCALE_MS)
/* A page's keeper is named after one limit, and lost after this many. */
#define LOSS_LIMITS 2
/* A home that only says that it is serving is to blame after this many. */
#define EXCUSED_LIMITS 4
/*
 * A page is late if this many looks find it so: this process may have been
 * stopped before the first.
 */
#define LOOKS_MIN 2

/* --------------------------------------------------------- pending pages */

static bool is_pending(Late *late, const LateTable *table,
                       const LateEntry *entry)
{
    if (!entry->since_ns) {
        return false;
    }
    return table == &late->serving
           ? coh_home_is_busy(lane_directory(late->ctx, entry->page)->state)
           : lane_is_fetching(late->ctx->node->peer[entry->page].state);
}

/* NULL if nothing is known of @page. */
static LateEntry *find(Late *late, LateTable *table, CohPage page)
{
    LateEntry *entry = &table->slot[page % LATE_SLOTS];

    if (entry->since_ns && entry->page == page) {
        return entry;
    }
    return g_hash_table_size(table->more)
           ? g_hash_table_lookup(table->more, &page) : NULL;
}

/*
 * A fetch, or a service, of @page begins: nothing of an earlier one counts.
 * Most pages find their slot free, as few are under way at a time.
 */
static LateEntry *begin(Late *late, LateTable *table, CohPage page)
{
    LateEntry *entry = &table->slot[page % LATE_SLOTS];

    if (entry->page != page && is_pending(late, table, entry)) {
        entry = g_new(LateEntry, 1);
        g_hash_table_insert(table->more, g_memdup2(&page, sizeof(page)),
                            entry);
    } else if (g_hash_table_size(table->more)) {
        g_hash_table_remove(table->more, &page);
    }
    *entry = (LateEntry) { .page = page, .since_ns = get_clock() };
    return entry;
}

static GHashTable *new_more(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
}

static void late_init(void *part, LaneCtx *ctx)
{
    Late *late = part;

    late->ctx = ctx;
    late->serving.more = new_more();
    late->fetching.more = new_more();
}

static void late_free(void *part)
{
    Late *late = part;

    g_hash_table_unref(late->serving.more);
    g_hash_table_unref(late->fetching.more);
}

void late_fetch_begins(Late *late, CohPage page)
{
    begin(late, &late->fetching, page);
}

void late_heard(Late *late, CohPage page, CohNodeId from)
{
    LateEntry *entry = find(late, &late->fetching, page);

    if (entry) {
        coh_set_add(&entry->nodes, from);
    }
}

void late_service_begins(Late *late, CohPage page, CohNodeId requester)
{
    begin(late, &late->serving, page)->requester = requester;
}

void late_asked(Late *late, CohPage page, const CohNodeSet *asked)
{
    LateEntry *entry = find(late, &late->serving, page);

    for (unsigned w = 0; entry && w < COH_SET_WORDS; w++) {
        entry->nodes.word[w] |= asked->word[w];
    }
}

/* ------------------------------------------------------ naming and blaming */

/* Without the time that this host was suspended: no page is late for that. */
static int64_t age_ns(const LateEntry *entry)
{
    return get_clock() - entry->since_ns;
}

/* Once for each fetch or service of a page. */
static void name(LateEntry *entry, CohNodeId node, const char *role)
{
    if (!entry->named) {
        entry->named = true;
        trace_distkvm_late(entry->page, node, age_ns(entry));
        say_warning("distkvm: page 0x%" PRIx64 " has been awaited for %" PRId64
                    " ms from node %u, %s", entry->page,
                    age_ns(entry) / SCALE_MS, node, role);
    }
}

static void blame(Late *late, const LateEntry *entry, CohNodeId node)
{
    g_autofree char *why = g_strdup_printf(
        "page 0x%" PRIx64 " has been awaited for %" PRId64 " ms", entry->page,
        age_ns(entry) / SCALE_MS);

    trace_distkvm_late(entry->page, node, age_ns(entry));
    if (node == late->ctx->node->id) {
        lane_break(late->ctx, why);
    } else {
        lane_lose(late->ctx, node, why);
    }
}

/* A node that was asked, and that is not in @heard; else COH_NODE_NONE. */
static CohNodeId find_debtor(Late *late, const LateEntry *serving,
                             const CohNodeSet *heard)
{
    for (CohNodeId n = coh_set_next(&serving->nodes, 0); n != COH_NODE_NONE;
         n = coh_set_next(&serving->nodes, n + 1)) {
        if (n != late->ctx->node->id && !coh_set_has(heard, n)) {
            return n;
        }
    }
    return COH_NODE_NONE;
}

/* As the page's home: its requester misses it, and has told @heard. */
static void requester_misses(Late *late, LateEntry *serving,
                             const CohNodeSet *heard, int64_t limit_ns)
{
    CohNodeId owes = find_debtor(late, serving, heard);

    serving->complained = true;
    if (owes == COH_NODE_NONE || age_ns(serving) < limit_ns) {
        return;
    }
    name(serving, owes, "which its home has asked for it");
    if (age_ns(serving) > LOSS_LIMITS * limit_ns) {
        blame(late, serving, owes);
    }
}

/* ---------------------------------------------------------------- frames */

static void send_late(Late *late, CohNodeId to, WireLateKind kind, CohPage page,
                      const CohNodeSet *heard)
{
    WireFrame frame = {
        .type = WIRE_LATE, .sub = kind, .late = { page, *heard },
    };

    outbox_send(late->outbox, to, &frame);
}

void late_frame(Late *late, const WireFrame *frame)
{
    int64_t limit_ns = late->limit_ns;
    LateEntry *serving = find(late, &late->serving, frame->late.page);
    LateEntry *fetching = find(late, &late->fetching, frame->late.page);
    CohNodeSet heard = frame->late.heard;

    if (frame->sub == WIRE_LATE_AT_IT) {
        if (fetching && frame->from ==
            cluster_map_home(late->ctx->config->map, frame->late.page)) {
            fetching->excused_ns = get_clock();
        }
        return;
    }
    /* It may be served to another node first: @frame->from is not forgotten. */
    if (serving && limit_ns && is_pending(late, &late->serving, serving)) {
        if (serving->requester == frame->from) {
            requester_misses(late, serving, &heard, limit_ns);
        }
        send_late(late, frame->from, WIRE_LATE_AT_IT, frame->late.page, &heard);
    }
}

/* ----------------------------------------------------------------- looks */

/* A page that another home, or a node that this one asked, does not give. */
static void look_at_fetch(Late *late, LateEntry *entry, int64_t limit_ns)
{
    CohNodeId home = cluster_map_home(late->ctx->config->map, entry->page);
    LateEntry *serving = find(late, &late->serving, entry->page);
    int64_t last_word = MAX(entry->since_ns, entry->excused_ns);

    if (home != late->ctx->node->id) {
        name(entry, home, "its home");
        send_late(late, home, WIRE_LATE_MISSED, entry->page, &entry->nodes);
        if ((age_ns(entry) > LOSS_LIMITS * limit_ns + COMPLAIN_NS &&
             get_clock() - last_word > limit_ns) ||
            age_ns(entry) > EXCUSED_LIMITS * limit_ns) {
            blame(late, entry, home);
        }
    } else if (serving && is_pending(late, &late->serving, serving) &&
               serving->requester == late->ctx->node->id) {
        requester_misses(late, serving, &entry->nodes, limit_ns);
    }
    /* A request behind another's is looked at in look_at_service(). */
    if (home == late->ctx->node->id &&
        age_ns(entry) > EXCUSED_LIMITS * limit_ns) {
        blame(late, entry, home);
    }
}

/*
 * A requester that neither misses its page nor says that it is done; of an
 * operation, the page's owner.
 */
static void look_at_service(Late *late, LateEntry *entry, int64_t limit_ns)
{
    CohNodeId owes = lane_directory(late->ctx, entry->page)->requester;

    if (entry->complained || age_ns(entry) < limit_ns + COMPLAIN_NS ||
        owes >= late->ctx->config->map->nodes || owes == late->ctx->node->id) {
        return;
    }
    name(entry, owes, "which has not said that it is done with it");
    if (age_ns(entry) > LOSS_LIMITS * limit_ns + COMPLAIN_NS) {
        blame(late, entry, owes);
    }
}

static void look_at(Late *late, LateTable *table, LateEntry *entry,
                    int64_t limit_ns)
{
    if (!is_pending(late, table, entry) || age_ns(entry) < limit_ns ||
        ++entry->looks < LOOKS_MIN) {
        return;
    }
    if (table == &late->serving) {
        look_at_service(late, entry, limit_ns);
    } else {
        look_at_fetch(late, entry, limit_ns);
    }
}

static void look_at_all(Late *late, LateTable *table, int64_t limit_ns)
{
    GHashTableIter iter;
    gpointer entry;

    for (unsigned i = 0; i < LATE_SLOTS; i++) {
        look_at(late, table, &table->slot[i], limit_ns);
    }
    g_hash_table_iter_init(&iter, table->more);
    while (g_hash_table_iter_next(&iter, NULL, &entry)) {
        if (is_pending(late, table, entry)) {
            look_at(late, table, entry, limit_ns);
        } else {
            g_hash_table_iter_remove(&iter);
        }
    }
}

void late_look(Late *late, int64_t limit_ns)
{
    late->limit_ns = limit_ns;
    if (late->ctx->phase != LANE_FAILED) {
        look_at_all(late, &late->fetching, limit_ns);
        look_at_all(late, &late->serving, limit_ns);
    }
}

const LanePart late_part = {
    .init = late_init,
    .free = late_free,
};
