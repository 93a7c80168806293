/*
 * distkvm: for management: query-distkvm and info commands
 *
 * Main loop, BQL held; query-distkvm also on the monitor's thread without the
 * BQL (out of band), so what it calls takes no BQL, waits for no lane and
 * touches no guest RAM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm.h"
#include "qapi/qapi-commands-distkvm-pci.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "qemu/rcu.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "accel/distkvm/client/copy.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/machine/power-off.h"
#include "accel/distkvm/machine/query-stats.h"
#include "accel/distkvm/wire/wire.h"
#include "clock.h"
#include "config.h"
#include "failure.h"
#include "node.h"
#include "qmp.h"

#define HOT_PAGES_MAX 20

static DistKVMNodeState node_state(CohNodeId id)
{
    if (id == distkvm->id) {
        return DIST_KVM_NODE_STATE_SELF;
    }
    switch (member_state(id)) {
    case MEMBER_JOINED:
        return DIST_KVM_NODE_STATE_JOINED;
    case MEMBER_LEFT:
        return DIST_KVM_NODE_STATE_LEFT;
    case MEMBER_LOST:
        return DIST_KVM_NODE_STATE_LOST;
    default:
        return DIST_KVM_NODE_STATE_ABSENT;
    }
}

static DistKVMNode *node_info(CohNodeId id)
{
    DistKVMNode *node = g_new0(DistKVMNode, 1);

    node->id = id;
    node->address = g_strdup(distkvm->address[id]);
    node->state = node_state(id);
    node->vcpus = cpu_places_count(&distkvm->cpus, id);
    node->home_bytes = distkvm->map->share[id] << COH_PAGE_BITS;
    if (node->state == DIST_KVM_NODE_STATE_JOINED) {
        node->transport = engine_describe_peer(distkvm->engine, id);
        node->has_silence_ms = true;
        node->silence_ms = member_silence_ms(id);
    }
    return node;
}

static DistKVMHotPageList *hot_pages_info(void)
{
    EngineHotPage hot[HOT_PAGES_MAX];
    unsigned n = engine_hot_pages(distkvm->engine, hot, HOT_PAGES_MAX);
    DistKVMHotPageList *list = NULL, **tail = &list;

    for (unsigned i = 0; i < n; i++) {
        DistKVMHotPage *page = g_new0(DistKVMHotPage, 1);

        page->page = hot[i].page;
        page->faults = hot[i].faults;
        QAPI_LIST_APPEND(tail, page);
    }
    return list;
}

static DistKVMDma *dma_info(const EngineStats *s)
{
    DistKVMDma *dma = g_new0(DistKVMDma, 1);
    CopyCounts c;

    copy_counts(&c);
    dma->got = c.spans[COPY_GOT];
    dma->got_bytes = c.bytes[COPY_GOT];
    dma->put = c.spans[COPY_PUT];
    dma->put_bytes = c.bytes[COPY_PUT];
    dma->moved = c.spans[COPY_MOVED];
    dma->moved_bytes = c.bytes[COPY_MOVED];
    dma->filled = c.spans[COPY_FILLED];
    dma->filled_bytes = c.bytes[COPY_FILLED];
    dma->local = c.spans[COPY_LOCAL];
    dma->local_bytes = c.bytes[COPY_LOCAL];
    dma->served_bytes = s->bytes_got_here + s->bytes_put_here;
    dma->forwarded_bytes = s->bytes_forwarded;
    return dma;
}

static DistKVMBytes *sent_info(const EngineStats *s)
{
    DistKVMBytes *bytes = g_new0(DistKVMBytes, 1);

    bytes->pages = s->sent_by_kind[ENGINE_BYTES_PAGES];
    bytes->blocks = s->sent_by_kind[ENGINE_BYTES_BLOCKS];
    bytes->operations = s->sent_by_kind[ENGINE_BYTES_OPERATIONS];
    bytes->protocol = s->sent_by_kind[ENGINE_BYTES_PROTOCOL];
    bytes->services = s->sent_by_kind[ENGINE_BYTES_SERVICES];
    return bytes;
}

static uint64List *histogram(const uint64_t *buckets)
{
    uint64List *list = NULL, **tail = &list;

    for (unsigned i = 0; i < ENGINE_WAIT_BUCKETS; i++) {
        QAPI_LIST_APPEND(tail, buckets[i]);
    }
    return list;
}

static DistKVMWaits *waits_info(const EngineStats *s)
{
    DistKVMWaits *waits = g_new0(DistKVMWaits, 1);

    waits->read = histogram(s->waits[ENGINE_WAIT_READ]);
    waits->write = histogram(s->waits[ENGINE_WAIT_WRITE]);
    waits->upgrade = histogram(s->waits[ENGINE_WAIT_UPGRADE]);
    return waits;
}

static DistKVMMemory *memory_info(void)
{
    DistKVMMemory *m = g_new0(DistKVMMemory, 1);
    EngineStats s;
    EngineSize size;

    engine_stats(distkvm->engine, &s);
    engine_size(distkvm->engine, &size);
    m->resident_pages = s.pages_resident;
    m->resident_pages_max = s.pages_resident_max;
    m->cap_pages = qatomic_read(&distkvm->engine_config.cap_pages);
    m->cap_excess_pages = engine_excess_pages(distkvm->engine);
    m->snapshot_pages = qatomic_read(&distkvm->engine_config.delta_pages);
    m->unchanged_pages_sent = s.unchanged_pages_sent;
    m->operations = s.operations;
    m->directory_bytes = size.home_bytes;
    m->state_bytes = size.page_bytes;
    m->snapshot_bytes = size.snapshot_bytes;
    m->delta_pages_sent = s.delta_pages_sent;
    m->delta_bytes_saved = s.delta_bytes_saved;
    m->evictions = s.evictions_asked;
    m->faults_deferred = s.faults_deferred;
    m->owned_pages = s.pages_owned;
    /* The two counts may be of moments apart. */
    m->shared_pages = s.pages_resident - MIN(s.pages_owned, s.pages_resident);
    m->home_pages = s.pages_home;
    m->faults_read = s.faults_read;
    m->faults_write = s.faults_write;
    m->faults_upgrade = s.faults_upgrade;
    m->faults_local = s.faults_local;
    m->readahead_pages = s.readahead_pages;
    m->wait_read_ns = s.wait_read_ns;
    m->wait_write_ns = s.wait_write_ns;
    m->wait_upgrade_ns = s.wait_upgrade_ns;
    m->waits = waits_info(&s);
    m->hot_pages = hot_pages_info();
    m->dma = dma_info(&s);
    m->pages_sent = s.pages_sent;
    m->zero_pages_sent = s.zero_pages_sent;
    m->revocations = s.invalidations;
    m->frames_sent = s.frames_sent;
    m->frames_received = s.frames_received;
    m->bytes_sent = s.bytes_sent;
    m->sent_by_kind = sent_info(&s);
    m->bytes_received = s.bytes_received;
    return m;
}

/* CPU time of a thread of this process, as the kernel counts it. */
static int64_t thread_cpu_ms(int tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/schedstat",
                                            tid);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL)
           ? g_ascii_strtoll(text, NULL, 10) / SCALE_MS : 0;
}

static DistKVMCpu *cpu_info(CPUState *cpu)
{
    DistKVMCpu *info = g_new0(DistKVMCpu, 1);

    info->index = cpu->cpu_index;
    info->node = distkvm_cpu_node(cpu->cpu_index);
    info->executed_ms = thread_cpu_ms(cpu->thread_id);
    return info;
}

static DistKVMState cluster_state(void)
{
    if (qatomic_read(&distkvm->failed)) {
        return DIST_KVM_STATE_LOST;
    }
    if (power_off_is_leaving()) {
        return DIST_KVM_STATE_LEAVING;
    }
    return node_is_formed() ? DIST_KVM_STATE_FORMED
                               : DIST_KVM_STATE_JOINING;
}

void qmp_distkvm_set_cap(uint64_t cap, Error **errp)
{
    DistKVMCap parts;

    if (!distkvm || !distkvm->engine) {
        error_setg(errp, "-accel distkvm is not in use");
        return;
    }
    if (qatomic_read(&distkvm->failed)) {
        error_setg(errp, "distkvm: a node is lost, and with it the guest's"
                   " memory");
        return;
    }
    if (!distkvm_cap_divide(distkvm, cap, &parts, errp)) {
        return;
    }
    qatomic_set(&distkvm->engine_config.cap_pages, parts.guest_pages);
    qatomic_set(&distkvm->engine_config.delta_pages, parts.snapshots);
    engine_set_cap(distkvm->engine, parts.guest_pages, parts.snapshots);
}

DistKVMInfo *qmp_query_distkvm(Error **errp)
{
    DistKVMInfo *info;
    DistKVMNodeList **node_tail;
    DistKVMCpuList **cpu_tail;
    const char *lost_why;
    CohNodeId lost_node;
    CPUState *cpu;

    if (!distkvm) {
        error_setg(errp, "-accel distkvm is not in use");
        return NULL;
    }
    if (!distkvm->engine) {
        error_setg(errp, "distkvm: this node is still starting");
        return NULL;
    }
    /* Out of band it may be asked while the node comes up: start_engine(). */
    smp_rmb();
    info = g_new0(DistKVMInfo, 1);
    node_tail = &info->nodes;
    cpu_tail = &info->cpus;
    info->version = g_strdup(DISTKVM_VERSION);
    info->protocol = WIRE_VERSION;
    info->state = cluster_state();
    info->has_lost_node = failure_first_lost(&lost_node, &lost_why);
    if (info->has_lost_node) {
        info->lost_node = lost_node;
        info->lost_reason = g_strdup(lost_why);
    }
    info->node = distkvm->id;
    info->formed = node_is_formed();
    info->failed = qatomic_read(&distkvm->failed);
    info->lanes = distkvm->engine_config.lanes.n;
    info->clock_ns = cluster_clock_ns();
    cluster_clock_quality(&info->clock_rate_ppb, &info->clock_offset_ns);
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        QAPI_LIST_APPEND(node_tail, node_info(n));
    }
    WITH_RCU_READ_LOCK_GUARD() {
        CPU_FOREACH(cpu) {
            QAPI_LIST_APPEND(cpu_tail, cpu_info(cpu));
        }
    }
    info->memory = memory_info();
    return info;
}

static void print_node(Monitor *mon, const DistKVMNode *node)
{
    monitor_printf(mon, "node %" PRId64 " (%s): %s, %" PRId64 " vCPUs, home of"
                   " %" PRIu64 " MiB", node->id, node->address,
                   DistKVMNodeState_str(node->state), node->vcpus,
                   node->home_bytes >> 20);
    if (node->transport) {
        monitor_printf(mon, ", over %s", node->transport);
    }
    if (node->has_silence_ms) {
        monitor_printf(mon, ", heard of %" PRId64 " ms ago", node->silence_ms);
    }
    monitor_printf(mon, "\n");
}

/* An operator's first questions come first; query-distkvm has all of it. */
static void hmp_info_distkvm(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    g_autoptr(DistKVMInfo) info = qmp_query_distkvm(&err);
    const DistKVMMemory *m;

    if (!info) {
        hmp_handle_error(mon, err);
        return;
    }
    m = info->memory;
    monitor_printf(mon, "this is node %" PRId64 ", the cluster is %s\n",
                   info->node, DistKVMState_str(info->state));
    if (info->has_lost_node) {
        monitor_printf(mon, "node %" PRId64 " is lost: %s\n", info->lost_node,
                       info->lost_reason);
    }
    for (DistKVMNodeList *n = info->nodes; n; n = n->next) {
        print_node(mon, n->value);
    }
    monitor_printf(mon, "memory here: %" PRIu64 " MiB, at most %" PRIu64
                   " MiB so far\n", m->resident_pages >> 8,
                   m->resident_pages_max >> 8);
    monitor_printf(mon, "faults: %" PRIu64 " to read, %" PRIu64 " to write, %"
                   PRIu64 " to upgrade, %" PRIu64 " local\n", m->faults_read,
                   m->faults_write, m->faults_upgrade, m->faults_local);
    monitor_printf(mon, "sent: %" PRIu64 " pages, %" PRIu64 " frames, %" PRIu64
                   " bytes; received: %" PRIu64 " frames, %" PRIu64
                   " bytes\n", m->pages_sent, m->frames_sent, m->bytes_sent,
                   m->frames_received, m->bytes_received);
}

static void print_regions(Monitor *mon, const DistKVMPciFunction *f)
{
    for (DistKVMPciRegionList *r = f->regions; r; r = r->next) {
        const DistKVMPciRegion *region = r->value;

        monitor_printf(mon, "    %s %" PRId64 ": %" PRIu64 " bytes of %s, ",
                       region->rom ? "ROM" : "BAR", region->bar, region->bytes,
                       region->memory ? "memory" : "ports");
        if (region->has_address) {
            monitor_printf(mon, "at 0x%" PRIx64 "\n", region->address);
        } else {
            monitor_printf(mon, "not mapped\n");
        }
    }
}

static void print_function(Monitor *mon, const DistKVMPciFunction *f)
{
    monitor_printf(mon, "node %" PRId64, f->owner);
    if (f->at) {
        monitor_printf(mon, ", %02" PRIx64 ":%02" PRIx64 ".%" PRIx64, f->bus,
                       f->at->slot, f->at->function);
    }
    if (f->at_owner) {
        monitor_printf(mon, ", its slot %" PRId64 ".%" PRId64,
                       f->at_owner->slot, f->at_owner->function);
    }
    monitor_printf(mon, ": class %04" PRIx64 ", %04" PRIx64 ":%04" PRIx64
                   "%s%s%s", f->q_class, f->vendor, f->device,
                   f->bus_master ? ", bus master" : "", f->id ? ", id " : "",
                   f->id ?: "");
    if (f->has_state && f->state != DIST_KVM_PCI_STATE_USED) {
        monitor_printf(mon, ", %s", DistKVMPciState_str(f->state));
    }
    monitor_printf(mon, "\n");
    print_regions(mon, f);
}

static void hmp_info_distkvm_pci(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    g_autoptr(DistKVMPciFunctionList) list =
        qmp_query_distkvm_pci(false, false, &err);

    if (err) {
        hmp_handle_error(mon, err);
        return;
    }
    for (DistKVMPciFunctionList *f = list; f; f = f->next) {
        print_function(mon, f->value);
    }
}

void distkvm_qmp_init(void)
{
    query_stats_init();
    monitor_register_hmp("distkvm", true, hmp_info_distkvm);
    monitor_register_hmp("distkvm-pci", true, hmp_info_distkvm_pci);
}
