/*
 * The surroundings of a simulated lane: memory, network, clock and host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/wire.h"
#include "lane-node.h"

/* A TCP segment's head, and a bunch's own. */
#define BUNCH_HEAD_BYTES 64
#define WORDS (COH_PAGE_SIZE / 8)

static Sim *world;
static SimNode *making;
static unsigned making_lane;

void lane_world_enter(Sim *sim)
{
    world = sim;
    if (!sim->bytes) {
        sim->bytes = g_malloc0((size_t)sim->config->pages << COH_PAGE_BITS);
    }
}

/* ------------------------------------------------------------ time and log */

int64_t get_clock(void)
{
    return world->now_ns;
}

/* A lane's thread would sleep so; here there is none. */
int qemu_poll_ns(GPollFD *fds, unsigned nfds, int64_t timeout)
{
    g_assert_not_reached();
}

int mem_fd(Mem *mem, unsigned lane)
{
    return -1;
}

int64_t host_boottime_ns(void)
{
    return world->now_ns;
}

int64_t host_thread_ns(uint32_t tid)
{
    const SimNode *n = &world->node[tid - 1];

    /* Whether it waits or works: all but its waits. */
    return (n->fault_ns ?: world->now_ns) - n->waited_ns;
}

int64_t cluster_clock_ns(void)
{
    return world->now_ns;
}

void cluster_clock_observe(int64_t ns)
{
    if (ns > world->now_ns) {
        sim_violated(world, "a frame comes from the future");
    }
}

bool cluster_clock_may_be(int64_t ns)
{
    return true;
}

void say_info(const char *fmt, ...)
{
}

void say_warning(const char *fmt, ...)
{
}

/* -------------------------------------------------------------- the host */

static void host_lost(void *opaque, CohNodeId peer, const char *why)
{
    sim_violated(world, g_intern_string(why));
}

static void host_broken(void *opaque, const char *why)
{
    sim_violated(world, g_intern_string(why));
}

static void host_closed(void *opaque, CohNodeId peer, const char *why)
{
    sim_violated(world, "a lane is closed");
}

static void host_frame(void *opaque, const WireFrame *frame)
{
    sim_violated(world, "a frame of class B");
}

/* The node that waits for all of @page to become @bytes; or NULL. */
static SimNode *find_whole_put(CohPage page, const void *bytes)
{
    for (unsigned i = 0; i < world->config->nodes; i++) {
        SimNode *n = &world->node[i];

        if (n->bytes && n->access.page == page &&
            n->access.length == COH_PAGE_SIZE &&
            !memcmp(bytes, n->bytes, COH_PAGE_SIZE)) {
            return n;
        }
    }
    return NULL;
}

/* @page, which is on @mem's node, has all bytes that @n puts. */
static void whole_put(Mem *mem, CohPage page, SimNode *n)
{
    uint8_t *host = mem_host(mem, page);
    uint32_t version = ++world->latest[page];

    stq_le_p(host, version);
    memcpy(world->bytes + (page << COH_PAGE_BITS), host, COH_PAGE_SIZE);
    mem->n->version[page] = version;
    n->bytes = NULL;
    world->operated++;
    lane_changed(world, page);
}

/* Bytes were put into @page: those that a node waits for, and no others. */
static void host_put(Mem *mem, CohPage page)
{
    uint8_t *bytes = world->bytes + (page << COH_PAGE_BITS);
    uint8_t *host = mem_host(mem, page);

    for (unsigned i = 0; i < world->config->nodes; i++) {
        SimNode *n = &world->node[i];
        const SimAccess *a = &n->access;

        if (n->bytes && a->page == page &&
            !memcmp(host + a->offset, n->bytes, a->length)) {
            memcpy(bytes + a->offset, n->bytes, a->length);
            n->bytes = NULL;
            world->operated++;
            lane_changed(world, page);
            break;
        }
    }
    if (memcmp(host, bytes, COH_PAGE_SIZE)) {
        sim_violated(world, "bytes that were put are not in the page");
    }
}

/*
 * Called after a page has left, and after an operation has changed a word of a
 * page that stays: that is version and count of the page; or bytes of it.
 */
static void host_revoked(void *opaque, CohPage page)
{
    Mem *mem = opaque;
    SimNode *n = mem->n;
    uint8_t *bytes = world->bytes + (page << COH_PAGE_BITS);
    uint64_t version;
    SimNode *whole;

    if (n->mem[page] == SIM_NONE) {
        return;
    }
    whole = find_whole_put(page, mem_host(mem, page));
    if (whole) {
        if (n->mem[page] != SIM_RW) {
            sim_violated(world, "puts into what others may have or change");
        }
        whole_put(mem, page, whole);
        return;
    }
    version = ldq_le_p(mem_host(mem, page));
    if (n->mem[page] == SIM_RW && version == world->latest[page]) {
        host_put(mem, page);
        return;
    }
    if (n->mem[page] != SIM_RW || version != world->latest[page] + 1) {
        sim_violated(world, "operates on what others may have or change");
    }
    n->version[page] = world->latest[page] = version;
    stq_le_p(bytes, version);
    world->operated++;
    lane_changed(world, page);
}

const EngineListener lane_host = {
    .frame = host_frame, .lost = host_lost, .closed = host_closed,
    .revoked = host_revoked, .broken = host_broken,
};

/* ---------------------------------------------------------------- memory */

Mem *lane_mem_new(Sim *sim, SimNode *n)
{
    Mem *mem = g_new0(Mem, 1);

    mem->sim = sim;
    mem->n = n;
    mem->host = g_malloc0((size_t)sim->config->pages << COH_PAGE_BITS);
    for (unsigned lane = 0; lane < LANES_MAX; lane++) {
        mem->faults[lane] = g_array_new(false, false, sizeof(MemFault));
    }
    return mem;
}

void mem_free(Mem *mem)
{
    g_free(mem->host);
    for (unsigned lane = 0; lane < LANES_MAX; lane++) {
        g_array_unref(mem->faults[lane]);
    }
    g_free(mem);
}

void *mem_host(Mem *mem, CohPage page)
{
    return mem->host + (page << COH_PAGE_BITS);
}

/*
 * The first word is the version; another, which differs from one version to the
 * next, says that it was written then.  Older words stay.
 */
static void write_version(uint8_t *page, uint32_t version)
{
    stq_le_p(page, version);
    stq_le_p(page + 8 * (1 + version * 67 % (WORDS - 1)), version);
}

void lane_mem_wrote(Mem *mem, CohPage page, uint32_t version)
{
    write_version(mem_host(mem, page), version);
    write_version(mem->sim->bytes + (page << COH_PAGE_BITS), version);
    lane_changed(mem->sim, page);
}

int mem_faults(Mem *mem, unsigned lane, MemFault *fault, int max)
{
    GArray *faults = mem->faults[lane];
    int n = MIN((int)faults->len, max);

    memcpy(fault, faults->data, n * sizeof(*fault));
    g_array_remove_range(faults, 0, n);
    return n;
}

/* Pages neither come nor go once a lane has failed, nor during a LOCK. */
static void check_change(Mem *mem, CohPage page)
{
    if (lane_has_failed(mem->n, page)) {
        sim_violated(mem->sim, "a lane that has failed serves a page");
    } else if (lane_split_keeps(mem->n, page)) {
        sim_violated(mem->sim, "a pinned page is taken");
    }
}

int mem_install(Mem *mem, CohPage page, const void *data, bool writable)
{
    SimNode *n = mem->n;
    uint8_t *host = mem_host(mem, page);

    if (n->mem[page] != SIM_NONE) {
        return -EEXIST;
    }
    if (data) {
        memcpy(host, data, COH_PAGE_SIZE);
    } else {
        memset(host, 0, COH_PAGE_SIZE);
    }
    if (writable && n == find_whole_put(page, host)) {
        whole_put(mem, page, n);
    } else if (memcmp(host, mem->sim->bytes + (page << COH_PAGE_BITS),
                      COH_PAGE_SIZE)) {
        sim_violated(mem->sim, "a page is not what was written to it");
    }
    check_change(mem, page);
    n->version[page] = ldq_le_p(host);
    sim_set_mem(mem->sim, n, page, writable ? SIM_RW : SIM_RO);
    return 0;
}

int mem_protect(Mem *mem, CohPage first, unsigned pages, bool writable)
{
    for (CohPage page = first; page < first + pages; page++) {
        if (mem->n->mem[page] == SIM_NONE) {
            return -ENOENT;
        }
        if (writable && lane_has_failed(mem->n, page)) {
            /* No vCPU writes any more: not before the checks of others. */
            mem->n->mem[page] = SIM_RW;
            continue;
        }
        check_change(mem, page);
        sim_set_mem(mem->sim, mem->n, page, writable ? SIM_RW : SIM_RO);
    }
    return 0;
}

int mem_zap(Mem *mem, CohPage page)
{
    if (mem->n->mem[page] == SIM_NONE) {
        return -ENOENT;
    }
    check_change(mem, page);
    sim_set_mem(mem->sim, mem->n, page, SIM_NONE);
    return 0;
}

int mem_take(Mem *mem, CohPage page, bool writable, void *copy)
{
    memcpy(copy, mem_host(mem, page), COH_PAGE_SIZE);
    return mem_zap(mem, page);
}

/* The thread goes on: its fault, if not read yet, is over. */
static void forget_fault(Mem *mem, CohPage page)
{
    GArray *faults = mem->faults[lane_of(&mem->n->lanes->config.lanes, page)];

    for (guint i = 0; i < faults->len; i++) {
        if (g_array_index(faults, MemFault, i).page == page) {
            g_array_remove_index(faults, i);
            return;
        }
    }
}

void mem_wake(Mem *mem, CohPage page)
{
    SimNode *n = mem->n;

    if (n->busy && n->fault_ns && n->access.page == page) {
        forget_fault(mem, page);
        lane_retry(mem->sim, n);
    }
}

void mem_poison(Mem *mem, CohPage page)
{
    if (!lane_has_failed(mem->n, page)) {
        sim_violated(mem->sim, "a page is given up, and no node is lost");
    }
    mem->n->lanes->poisoned |= mem->n->access.page == page;
    mem_wake(mem, page);
}

/* --------------------------------------------------------------- network */

static void deliver(SimTransport *t, CohNodeId peer)
{
    Sim *sim = t->sim;
    const SimConfig *c = sim->config;
    SimBunch *bunch = t->out[peer];

    if (!bunch) {
        return;
    }
    t->out[peer] = NULL;
    sim->result.messages++;
    sim->result.bytes += BUNCH_HEAD_BYTES + bunch->len;
    sim_schedule(sim, (SimEvent) {
        /* After the frames that this pass has handled; then the network. */
        .at_ns = sim->now_ns + t->taken * c->handle_ns + c->wire_ns +
                 c->page_ns * (int64_t)(bunch->len / COH_PAGE_SIZE) +
                 sim_random(sim, c->wire_ns / 4 + 1),
        .kind = SIM_ARRIVE, .node = peer, .lane = t->lane, .bunch = bunch,
    });
}

static void append(SimTransport *t, CohNodeId peer, const void *bytes,
                   size_t len)
{
    SimBunch *bunch = t->out[peer];
    size_t had = bunch ? bunch->len : 0;

    bunch = g_realloc(bunch, sizeof(*bunch) + had + len);
    bunch->from = t->n->node.id;
    bunch->frames = had ? bunch->frames : 0;
    memcpy(bunch->bytes + had, bytes, len);
    bunch->len = had + len;
    t->out[peer] = bunch;
}

static void transport_send(Transport *base, CohNodeId peer, const void *head,
                           size_t head_len, const void *payload,
                           size_t payload_len)
{
    SimTransport *t = (SimTransport *)base;
    const SimBunch *bunch = t->out[peer];

    if (bunch && bunch->len + head_len + payload_len > WIRE_BUNCH_MAX) {
        deliver(t, peer);
    }
    append(t, peer, head, head_len);
    if (payload_len) {
        append(t, peer, payload, payload_len);
    }
    t->out[peer]->frames++;
    if (!t->corked) {
        deliver(t, peer);
    }
}

static void transport_cork(Transport *base, bool cork)
{
    SimTransport *t = (SimTransport *)base;

    t->corked = cork;
    for (unsigned n = 0; !cork && n < t->sim->config->nodes; n++) {
        deliver(t, n);
    }
}

static void transport_push(Transport *base, CohNodeId peer)
{
    deliver((SimTransport *)base, peer);
}

static bool transport_poll(Transport *base)
{
    SimTransport *t = (SimTransport *)base;
    SimBunch *bunch = g_queue_pop_head(&t->arrived);

    if (!bunch) {
        return false;
    }
    t->taken += bunch->frames;
    t->listener->frames(t->opaque, bunch->from, bunch->bytes, bunch->len);
    g_free(bunch);
    return true;
}

static void transport_destroy(Transport *base)
{
    SimTransport *t = (SimTransport *)base;

    g_queue_clear_full(&t->arrived, g_free);
    g_free(t);
}

static const TransportOps transport_ops = {
    .send = transport_send,
    .cork = transport_cork,
    .push = transport_push,
    .poll = transport_poll,
    .destroy = transport_destroy,
};

void lane_transport_of(SimNode *n, unsigned lane)
{
    making = n;
    making_lane = lane;
}

Transport *lane_transport_new(const TransportListener *listener, void *opaque,
                              Error **errp)
{
    SimTransport *t = g_new0(SimTransport, 1);

    t->base.ops = &transport_ops;
    t->sim = world;
    t->n = making;
    t->lane = making_lane;
    t->listener = listener;
    t->opaque = opaque;
    g_queue_init(&t->arrived);
    return &t->base;
}
