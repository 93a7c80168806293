/*
 * distkvm: this node's counters as a provider of QEMU's query-stats
 *
 * They have the names that they have in query-distkvm.  A statistic is a member
 * of EngineStats, and a row of the table here.  Main loop, BQL held; the engine
 * is not waited for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/stats.h"
#include "accel/distkvm/node.h"
#include "query-stats.h"

typedef struct Stat {
    const char *name;
    size_t at;              /* in EngineStats */
    unsigned n;             /* numbers there; more than 1 in a histogram */
    StatsType type;
    bool has_unit;
    StatsUnit unit;
    int exponent;           /* of 10 */
} Stat;

#define AT(member) offsetof(EngineStats, member)
#define COUNT(name_, member) \
    { .name = name_, .at = AT(member), .n = 1, \
      .type = STATS_TYPE_CUMULATIVE }
#define BYTES(name_, member) \
    { .name = name_, .at = AT(member), .n = 1, \
      .type = STATS_TYPE_CUMULATIVE, .has_unit = true, \
      .unit = STATS_UNIT_BYTES }
#define PAGES(name_, member, type_) \
    { .name = name_, .at = AT(member), .n = 1, .type = type_ }
#define TIME(name_, member) \
    { .name = name_, .at = AT(member), .n = 1, \
      .type = STATS_TYPE_CUMULATIVE, .has_unit = true, \
      .unit = STATS_UNIT_SECONDS, .exponent = -9 }
#define WAITS(name_, kind) \
    { .name = name_, .at = AT(waits[kind]), .n = ENGINE_WAIT_BUCKETS, \
      .type = STATS_TYPE_LOG2_HISTOGRAM, .has_unit = true, \
      .unit = STATS_UNIT_SECONDS, .exponent = -6 }

static const Stat stats[] = {
    PAGES("resident-pages", pages_resident, STATS_TYPE_INSTANT),
    PAGES("resident-pages-max", pages_resident_max, STATS_TYPE_PEAK),
    PAGES("owned-pages", pages_owned, STATS_TYPE_INSTANT),
    COUNT("faults-read", faults_read),
    COUNT("faults-write", faults_write),
    COUNT("faults-upgrade", faults_upgrade),
    COUNT("faults-local", faults_local),
    COUNT("faults-deferred", faults_deferred),
    COUNT("readahead-pages", readahead_pages),
    TIME("wait-read-ns", wait_read_ns),
    TIME("wait-write-ns", wait_write_ns),
    TIME("wait-upgrade-ns", wait_upgrade_ns),
    WAITS("waits-read", ENGINE_WAIT_READ),
    WAITS("waits-write", ENGINE_WAIT_WRITE),
    WAITS("waits-upgrade", ENGINE_WAIT_UPGRADE),
    COUNT("pages-sent", pages_sent),
    COUNT("zero-pages-sent", zero_pages_sent),
    COUNT("delta-pages-sent", delta_pages_sent),
    COUNT("revocations", invalidations),
    COUNT("operations", operations),
    COUNT("evictions", evictions_asked),
    COUNT("frames-sent", frames_sent),
    COUNT("frames-received", frames_received),
    BYTES("bytes-sent", bytes_sent),
    BYTES("bytes-received", bytes_received),
    BYTES("bytes-sent-pages", sent_by_kind[ENGINE_BYTES_PAGES]),
    BYTES("bytes-sent-blocks", sent_by_kind[ENGINE_BYTES_BLOCKS]),
    BYTES("bytes-sent-operations", sent_by_kind[ENGINE_BYTES_OPERATIONS]),
    BYTES("bytes-sent-protocol", sent_by_kind[ENGINE_BYTES_PROTOCOL]),
    BYTES("bytes-sent-services", sent_by_kind[ENGINE_BYTES_SERVICES]),
};

static StatsValue *value_of(const Stat *stat, const EngineStats *s)
{
    const uint64_t *numbers = (const void *)((const char *)s + stat->at);
    StatsValue *value = g_new0(StatsValue, 1);
    uint64List **tail = &value->u.list;

    if (stat->n == 1) {
        value->type = QTYPE_QNUM;
        value->u.scalar = *numbers;
        return value;
    }
    value->type = QTYPE_QLIST;
    for (unsigned i = 0; i < stat->n; i++) {
        QAPI_LIST_APPEND(tail, numbers[i]);
    }
    return value;
}

static void retrieve(StatsResultList **result, StatsTarget target,
                     strList *names, strList *targets, Error **errp)
{
    StatsList *list = NULL, **tail = &list;
    EngineStats now;

    if (target != STATS_TARGET_VM || !distkvm->engine) {
        return;
    }
    engine_stats(distkvm->engine, &now);
    for (size_t i = 0; i < ARRAY_SIZE(stats); i++) {
        Stats *entry;

        if (!apply_str_list_filter(stats[i].name, names)) {
            continue;
        }
        entry = g_new0(Stats, 1);
        entry->name = g_strdup(stats[i].name);
        entry->value = value_of(&stats[i], &now);
        QAPI_LIST_APPEND(tail, entry);
    }
    if (list) {
        add_stats_entry(result, STATS_PROVIDER_DISTKVM, NULL, list);
    }
}

static void describe(StatsSchemaList **result, Error **errp)
{
    StatsSchemaValueList *list = NULL, **tail = &list;

    for (size_t i = 0; i < ARRAY_SIZE(stats); i++) {
        StatsSchemaValue *entry = g_new0(StatsSchemaValue, 1);

        entry->name = g_strdup(stats[i].name);
        entry->type = stats[i].type;
        entry->has_unit = stats[i].has_unit;
        entry->unit = stats[i].unit;
        entry->exponent = stats[i].exponent;
        entry->has_base = stats[i].exponent;
        entry->base = stats[i].exponent ? 10 : 0;
        QAPI_LIST_APPEND(tail, entry);
    }
    add_stats_schema(result, STATS_PROVIDER_DISTKVM, STATS_TARGET_VM, list);
}

void query_stats_init(void)
{
    add_stats_callbacks(STATS_PROVIDER_DISTKVM, retrieve, describe);
}
