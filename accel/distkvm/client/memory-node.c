/*
 * distkvm: a node that is no machine
 *
 * A program that shares memory, and nothing else, with others of its kind.  It
 * uses membership, engine and transport as QEMU does, and fills in the calls
 * that those expect of the machine around them.  Not part of QEMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "crypto/tlscredspsk.h"
#include "qemu/module.h"
#include "qemu/sockets.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "system/distkvm-memory.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/cluster/hello.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/cluster/membership.h"
#include "accel/distkvm/cluster/path.h"
#include "accel/distkvm/config.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/wire/transport-stream.h"
#include "qom/object_interfaces.h"

static struct {
    void *memory;
    bool bind;
    QemuMutex lock;             /* the rest */
    QemuCond changed;
    char *failure;
    CohNodeSet left;            /* other nodes that have called the end */
} node;

/* ------------------------------------------------ calls of membership */

static void failed(const char *why)
{
    qemu_mutex_lock(&node.lock);
    if (!node.failure) {
        node.failure = g_strdup(why);
        say_error("distkvm: %s", why);
    }
    qatomic_set(&distkvm->failed, true);
    qemu_cond_broadcast(&node.changed);
    qemu_mutex_unlock(&node.lock);
    engine_fail(distkvm->engine);
}

static void cannot_join(const char *why)
{
    qemu_mutex_lock(&node.lock);
    node.failure = node.failure ?: g_strdup(why);
    qemu_cond_broadcast(&node.changed);
    qemu_mutex_unlock(&node.lock);
}

static void formed(void)
{
    cluster_clock_start(0);
    qemu_mutex_lock(&node.lock);
    node_set_formed(true);
    qemu_cond_broadcast(&node.changed);
    qemu_mutex_unlock(&node.lock);
}

/* Its connection may close before its "end" is read, if we are leaving too. */
static void left(CohNodeId peer)
{
    qemu_mutex_lock(&node.lock);
    coh_set_add(&node.left, peer);
    qemu_cond_broadcast(&node.changed);
    qemu_mutex_unlock(&node.lock);
}

static const char *serve_end(CohNodeId from, const MemberMessage *message)
{
    left(from);
    return NULL;
}

static const MemberService services[] = {
    { MESSAGE_END, MEMBER_THREAD, serve_end },
};

static QDict *make_hello(void)
{
    QDict *hello = hello_new();

    hello_state(qdict_get_qdict(hello, "facts"), "machine type",
                g_strdup("memory only"));
    return hello;
}

/* No guest code, no leases; nothing but pages is waited for. */
static const MemberOps member_ops = {
    .hello = make_hello,
    .cannot_join = cannot_join,
    .formed = formed,
    .left = left,
    .failed = failed,
};

/* ------------------------------------------------- calls of the engine */

static void frame_in_engine(void *opaque, const WireFrame *frame)
{
    member_expel(frame->from, "it sent a frame for a machine");
}

static void lost_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_expel(peer, why);
}

static void closed_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_closed(peer, why);
}

static void revoked_in_engine(void *opaque, CohPage page)
{
}

static bool may_bind_in_engine(void *opaque, uint32_t tid)
{
    return node.bind;
}

static void broken_in_engine(void *opaque, const char *why)
{
    member_broken(why);
}

static const EngineListener engine_listener = {
    .frame = frame_in_engine,
    .lost = lost_in_engine,
    .closed = closed_in_engine,
    .revoked = revoked_in_engine,
    .may_bind = may_bind_in_engine,
    .broken = broken_in_engine,
};

static bool start_engine(Error **errp)
{
    DistKVM *d = distkvm;
    Mem *mem = mem_uffd_new(&d->engine_config.lanes, errp);

    if (!mem) {
        return false;
    }
    node.memory = mmap(NULL, d->ram_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (node.memory == MAP_FAILED) {
        error_setg_errno(errp, errno, "distkvm: no room for the memory");
        mem_free(mem);
        return false;
    }
    if (!mem_add_block(mem, "memory", node.memory, d->ram_bytes, 0, errp)) {
        mem_free(mem);
        return false;
    }
    membership_init(&member_ops);
    d->engine_config.id = d->id;
    d->engine_config.map = d->map;
    d->engine = engine_new(&d->engine_config, mem, transport_stream_new,
                           &engine_listener, NULL, errp);
    if (!d->engine) {
        return false;
    }
    engine_start(d->engine);
    return distkvm_start_transport(d, errp);
}

/* ------------------------------------------------------------ the calls */

void distkvm_init_defaults(DistkvmInit *init)
{
    *init = (DistkvmInit) {
        .join_timeout_s = 120, .dead_after_ms = 4000, .hold_us = 100,
        .spin_us = 50, .readahead = 64, .delta_pages = 4096,
        .affinity = 1, .lanes = 1,
    };
}

/* A pre-shared key, from a directory as QEMU's tls-creds-psk has it. */
static bool load_credentials(const DistkvmInit *init, Error **errp)
{
    bool over_unix = distkvm_over_unix(distkvm);

    if (init->psk_dir &&
        !object_new_with_props(TYPE_QCRYPTO_TLS_CREDS_PSK,
                               object_get_objects_root(), "key", errp,
                               "dir", init->psk_dir, "endpoint", "server",
                               NULL)) {
        return false;
    }
    return credentials_load(init->psk_dir ? "key" : NULL, NULL,
                            init->insecure, over_unix, errp);
}

static bool configure(const DistkvmInit *init, Error **errp)
{
    DistKVM *d = g_new0(DistKVM, 1);

    distkvm = d;
    cluster_clock_init(0);
    d->cluster = g_strdup("memory");
    d->join_timeout_ms = init->join_timeout_s * 1000;
    d->dead_after_ms = init->dead_after_ms;
    d->engine_config.hold_ns = init->hold_us * SCALE_US;
    d->engine_config.spin_ns = init->spin_us * SCALE_US;
    d->engine_config.readahead = init->readahead;
    d->engine_config.affinity = init->affinity;
    d->engine_config.companions = init->companions;
    node.bind = init->bind;
    d->engine_config.delta_pages = init->delta_pages;
    if (!init->bytes || init->bytes % COH_PAGE_SIZE) {
        error_setg(errp, "distkvm: %" PRIu64 " bytes are not whole pages",
                   init->bytes);
        return false;
    }
    return distkvm_config_peers(d, init->peers, init->node, errp) &&
           distkvm_config_transport(d, init->transport, errp) &&
           load_credentials(init, errp) &&
           distkvm_config_mem(d, init->mem, init->bytes, errp) &&
           distkvm_config_lanes(d, init->lanes, errp);
}

static int wait_formed(char **why)
{
    int ret;

    qemu_mutex_lock(&node.lock);
    while (!node_is_formed() && !node.failure) {
        qemu_cond_wait(&node.changed, &node.lock);
    }
    ret = node.failure ? -ENOTCONN : 0;
    if (ret) {
        *why = strdup(node.failure);
    }
    qemu_mutex_unlock(&node.lock);
    return ret;
}

int distkvm_init(const DistkvmInit *init, char **why)
{
    Error *err = NULL;
    int ret;

    if (distkvm) {
        *why = strdup("this process has joined already");
        return -EINVAL;
    }
    module_call_init(MODULE_INIT_TRACE);
    module_call_init(MODULE_INIT_QOM);
    socket_init();
    qemu_mutex_init(&node.lock);
    qemu_cond_init(&node.changed);
    if (!configure(init, &err) || !start_engine(&err)) {
        *why = strdup(error_get_pretty(err));
        error_free(err);
        return -EINVAL;
    }
    member_register(services, ARRAY_SIZE(services));
    membership_start();
    ret = wait_formed(why);
    if (!ret) {
        /* All lanes know that all nodes are there, before memory is touched. */
        engine_settle_prejoin(distkvm->engine, false);
    }
    return ret;
}

/* Under node.lock: all other nodes. */
static bool all_have_left(void)
{
    CohNodeSet gone = node.left, members = distkvm_members();

    coh_set_add(&gone, distkvm->id);
    return coh_set_has_all(&gone, &members);
}

void distkvm_end(void)
{
    if (!distkvm || !node_is_formed()) {
        return;
    }
    /*
     * From here on a closed connection is no loss, and counts as its end:
     * the node that hears ours last may close before we know that it did.
     */
    member_leaving();
    member_broadcast(&(MemberMessage) { .type = MESSAGE_END });
    qemu_mutex_lock(&node.lock);
    while (!all_have_left() && !node.failure) {
        qemu_cond_wait(&node.changed, &node.lock);
    }
    node_set_formed(false);
    qemu_mutex_unlock(&node.lock);
    /* No answer will come any more: release threads that still wait. */
    engine_fail(distkvm->engine);
}

void *distkvm_memory(void)
{
    return node.memory;
}
