/*
 * A lane without a cluster, for tests of its parts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/say.h"
#include "lane-fake.h"

Fake fake;

void fake_do(const char *fmt, ...)
{
    va_list ap;

    if (fake.did->len) {
        g_string_append(fake.did, "; ");
    }
    va_start(ap, fmt);
    g_string_append_vprintf(fake.did, fmt, ap);
    va_end(ap);
}

void fake_events(void)
{
    CohEvent *ev;

    while ((ev = g_queue_pop_head(&fake.ctx.events))) {
        fake_do("%s %d", coh_event_name(ev->type), (int)ev->page);
        g_free(ev);
    }
}

void fake_state(CohPage page, uint8_t state)
{
    fake.peer[page].state = state;
}

CohEvent fake_event(uint8_t type, CohNodeId from, CohPage page)
{
    return (CohEvent) { .type = type, .from = from, .page = page };
}

/* -------------------------------------------------------------- the host */

static void host_lost(void *opaque, CohNodeId peer, const char *why)
{
    fake_do("lost %d: %s", peer, why);
}

static void host_revoked(void *opaque, CohPage page)
{
    fake_do("revoked %d", (int)page);
}

static void host_broken(void *opaque, const char *why)
{
    fake_do("broken: %s", why);
}

static void host_frame(void *opaque, const WireFrame *frame)
{
    fake_do("frame of type %d from %d", frame->type, frame->from);
}

static void host_closed(void *opaque, CohNodeId peer, const char *why)
{
    fake_do("closed %d: %s", peer, why);
}

static bool host_idle(void *opaque, uint32_t tid)
{
    return tid == fake.idle_tid;
}

void fake_init(void)
{
    GString *did = fake.did ?: g_string_new(NULL);

    lane_ctx_free(&fake.ctx);
    cluster_map_free(fake.map);
    memset(&fake, 0, sizeof(fake));
    g_string_truncate(did, 0);
    fake.did = did;
    fake.now_ns = 1000 * 1000 * 1000;
    fake.host = (EngineListener) {
        .frame = host_frame, .lost = host_lost, .closed = host_closed,
        .revoked = host_revoked, .is_idle = host_idle, .broken = host_broken,
    };
    fake.config.id = FAKE_SELF;
    fake.config.lanes = lanes_make(1, FAKE_PAGES);
    fake.map = cluster_map_new_even(FAKE_NODES, FAKE_PAGES, FAKE_BITS);
    fake.config.map = fake.map;
    fake.node = (CohNode) {
        .id = FAKE_SELF, .map = fake.map, .peer = fake.peer,
    };
    coh_node_set_homes(&fake.node, fake.index, fake.home);
    fake.ctx = (LaneCtx) {
        .config = &fake.config, .node = &fake.node, .host = &fake.host,
        .phase = LANE_JOINED,
    };
    lane_ctx_init(&fake.ctx);
}

/* ------------------------------------------------------------ time and log */

int64_t get_clock(void)
{
    return fake.now_ns;
}

int64_t host_boottime_ns(void)
{
    return fake.now_ns;
}

int64_t host_thread_ns(uint32_t tid)
{
    return fake.now_ns;
}

int64_t cluster_clock_ns(void)
{
    return fake.guest_ns;
}

void cluster_clock_observe(int64_t ns)
{
    fake.guest_ns = MAX(fake.guest_ns, ns);
}

bool cluster_clock_may_be(int64_t ns)
{
    return ns >= 0;
}

void say_info(const char *fmt, ...)
{
    fake_do("says");
}

void say_warning(const char *fmt, ...)
{
    fake_do("warns");
}

/* ---------------------------------------------------------------- memory */

void *mem_host(Mem *mem, CohPage page)
{
    return fake.ram[page];
}

int mem_install(Mem *mem, CohPage page, const void *data, bool writable)
{
    fake_do("install %d %s%s", (int)page, writable ? "rw" : "ro",
            data ? "" : " zero");
    if (data) {
        memcpy(fake.ram[page], data, COH_PAGE_SIZE);
    } else {
        memset(fake.ram[page], 0, COH_PAGE_SIZE);
    }
    return fake.mem_result;
}

int mem_protect(Mem *mem, CohPage first, unsigned pages, bool writable)
{
    fake_do("protect %d+%u %s", (int)first, pages, writable ? "rw" : "ro");
    return fake.mem_result;
}

int mem_zap(Mem *mem, CohPage page)
{
    fake_do("zap %d", (int)page);
    return fake.mem_result;
}

int mem_take(Mem *mem, CohPage page, bool writable, void *copy)
{
    fake_do("take %d%s", (int)page, writable ? " owned" : "");
    memcpy(copy, fake.ram[page], COH_PAGE_SIZE);
    return fake.mem_result;
}

void mem_wake(Mem *mem, CohPage page)
{
    fake_do("wake %d", (int)page);
}

void mem_poison(Mem *mem, CohPage page)
{
    fake_do("poison %d", (int)page);
}
