/*
 * distkvm: frames over UCX
 *
 * The only file that knows UCX.  The library hooks mmap and installs signal
 * handlers while it is being loaded, both of which collide with QEMU, and only
 * the environment it finds at that moment turns them off.
 *
 * UCX believes its peers: over TCP a worker listens on every interface, and
 * its PUT writes wherever the sender says.  So "shm" leaves TCP out, and "ucx"
 * is for networks where every host is trusted.  A bunch of frames begins with
 * its sender and the cookie that membership gave that sender alone.
 * Engine thread only, no locks.
 * Spec: docs/architecture.rst, "Transport".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include <dlfcn.h>
#include <ucp/api/ucp.h>
#include "wire.h"
#include "transport-ucx.h"
#include "transport-ucx-env.h"
#include "accel/distkvm/trace.h"

#define UCX_LIBRARY "libucp.so.0"
#define UCX_AM_ID 0
/* Of a bunch: the sender, six bytes of nothing, and its cookie. */
#define AT_COOKIE 8
#define HEAD_BYTES (AT_COOKIE + COOKIE_BYTES)
/* No worker's address is shorter. */
#define ADDRESS_BYTES_MIN 16

/* The entry points in use, resolved once. */
static struct {
    __typeof__(&ucp_config_read) config_read;
    __typeof__(&ucp_config_modify) config_modify;
    __typeof__(&ucp_config_release) config_release;
    __typeof__(&ucp_init_version) init_version;
    __typeof__(&ucp_get_version_string) get_version_string;
    __typeof__(&ucp_cleanup) cleanup;
    __typeof__(&ucp_worker_create) worker_create;
    __typeof__(&ucp_worker_destroy) worker_destroy;
    __typeof__(&ucp_worker_get_address) worker_get_address;
    __typeof__(&ucp_worker_release_address) worker_release_address;
    __typeof__(&ucp_worker_get_efd) worker_get_efd;
    __typeof__(&ucp_worker_arm) worker_arm;
    __typeof__(&ucp_worker_progress) worker_progress;
    __typeof__(&ucp_worker_set_am_recv_handler) worker_set_am_recv_handler;
    __typeof__(&ucp_ep_create) ep_create;
    __typeof__(&ucp_ep_close_nbx) ep_close_nbx;
    __typeof__(&ucp_ep_print_info) ep_print_info;
    __typeof__(&ucp_am_send_nbx) am_send_nbx;
    __typeof__(&ucp_request_free) request_free;
} ucx;

typedef struct UcxBuf UcxBuf;

typedef struct UcxPeer {
    struct TransportUcx *t;
    CohNodeId id;
    ucp_ep_h ep;
    bool lost;
    Cookie ours;                /* that it shows us                         */
    Cookie theirs;              /* that we show it                          */
    UcxBuf *bunch;              /* frames that wait for more, or NULL       */
} UcxPeer;

typedef struct TransportUcx {
    Transport parent;
    const TransportListener *listener;
    void *opaque;
    ucp_context_h context;
    ucp_worker_h worker;
    ucp_address_t *address;
    size_t address_len;
    int efd;
    CohNodeId id;               /* this node, as its bunches say            */
    bool shm;                   /* over shared memory alone                 */
    GQueue free_bufs;
    bool corked;
    CohNodeSet bunches;         /* peers that have one */
    UcxPeer peer[COH_NODES_MAX];
} TransportUcx;

/* Frames on their way: UCX reads them until the send completes. */
struct UcxBuf {
    TransportUcx *t;
    size_t len;
    uint8_t bytes[HEAD_BYTES + WIRE_BUNCH_MAX];
};

static bool ucx_resolve(void *library, Error **errp)
{
#define SYMBOL(name) { "ucp_" #name, (void **)&ucx.name }
    const struct {
        const char *name;
        void **at;
    } symbols[] = {
        SYMBOL(config_read), SYMBOL(config_modify), SYMBOL(config_release),
        SYMBOL(init_version), SYMBOL(get_version_string),
        SYMBOL(cleanup), SYMBOL(worker_create), SYMBOL(worker_destroy),
        SYMBOL(worker_get_address), SYMBOL(worker_release_address),
        SYMBOL(worker_get_efd), SYMBOL(worker_arm), SYMBOL(worker_progress),
        SYMBOL(worker_set_am_recv_handler), SYMBOL(ep_create),
        SYMBOL(ep_close_nbx), SYMBOL(ep_print_info), SYMBOL(am_send_nbx),
        SYMBOL(request_free),
    };
#undef SYMBOL

    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
        *symbols[i].at = dlsym(library, symbols[i].name);
        if (!*symbols[i].at) {
            error_setg(errp, "distkvm: %s has no %s: UCX 1.13 or newer is"
                       " needed", UCX_LIBRARY, symbols[i].name);
            return false;
        }
    }
    return true;
}

static bool ucx_load(Error **errp)
{
    static bool loaded;
    void *library;

    if (loaded) {
        return true;
    }
    library = dlopen(UCX_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        error_setg(errp, "distkvm: cannot load UCX: %s", dlerror());
        error_append_hint(errp, "Install the package libucx0, or use"
                          " transport=tls.\n");
        return false;
    }
    loaded = ucx_resolve(library, errp);
    return loaded;
}

const char *transport_ucx_version(void)
{
    return ucx.get_version_string ? ucx.get_version_string() : "none";
}

static const void *ucx_address(Transport *transport, size_t *len)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);

    *len = t->address_len;
    return t->address;
}

static void ucx_lose(UcxPeer *peer, const char *why)
{
    if (!peer->lost) {
        peer->lost = true;
        peer->t->listener->lost(peer->t->opaque, peer->id, why);
    }
}

static void ucx_ep_error(void *arg, ucp_ep_h ep, ucs_status_t status)
{
    ucx_lose(arg, "the UCX endpoint failed");
}

static UcxBuf *take_bunch(TransportUcx *t, UcxPeer *peer)
{
    coh_set_remove(&t->bunches, peer->id);
    return g_steal_pointer(&peer->bunch);
}

static void ucx_disconnect(Transport *transport, CohNodeId id)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);
    UcxPeer *peer = &t->peer[id];
    ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS,
        .flags = UCP_EP_CLOSE_FLAG_FORCE,
    };
    ucs_status_ptr_t request;

    if (peer->bunch) {
        g_queue_push_head(&t->free_bufs, take_bunch(t, peer));
    }
    if (peer->ep) {
        peer->lost = true;
        request = ucx.ep_close_nbx(peer->ep, &param);
        if (UCS_PTR_IS_PTR(request)) {
            ucx.request_free(request);
        }
        peer->ep = NULL;
    }
}

static bool ucx_connect(Transport *transport, const TransportPeer *to,
                        Error **errp)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);
    UcxPeer *peer = &t->peer[to->id];
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS |
                      UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER,
        .address = to->address,
        .err_mode = UCP_ERR_HANDLING_MODE_PEER,
        .err_handler = { .cb = ucx_ep_error, .arg = peer },
    };
    ucs_status_t status;

    ucx_disconnect(transport, to->id);
    if (to->address_len < ADDRESS_BYTES_MIN) {
        error_setg(errp, "distkvm: node %d sent a malformed address", to->id);
        return false;
    }
    t->id = to->self;
    peer->t = t;
    peer->id = to->id;
    peer->ours = *to->ours;
    peer->theirs = *to->theirs;
    status = ucx.ep_create(t->worker, &params, &peer->ep);
    peer->lost = status != UCS_OK;
    if (peer->lost) {
        peer->ep = NULL;
        error_setg(errp, "distkvm: UCX finds no way to node %d (status %d)",
                   to->id, status);
        error_append_hint(errp, "Check UCX_TLS and UCX_NET_DEVICES on both"
                          " hosts.\n");
    }
    return !peer->lost;
}

static void ucx_sent(void *request, ucs_status_t status, void *opaque)
{
    UcxBuf *buf = opaque;

    g_queue_push_head(&buf->t->free_bufs, buf);
    ucx.request_free(request);
}

static void ucx_send_bunch(TransportUcx *t, UcxPeer *peer)
{
    UcxBuf *buf = take_bunch(t, peer);
    ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK |
                        UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS,
        .flags = UCP_AM_SEND_FLAG_EAGER,
        .cb.send = ucx_sent,
    };
    ucs_status_ptr_t request;

    param.user_data = buf;
    request = ucx.am_send_nbx(peer->ep, UCX_AM_ID, NULL, 0, buf->bytes,
                              buf->len, &param);
    if (!UCS_PTR_IS_PTR(request)) {
        g_queue_push_head(&t->free_bufs, buf);
        if (UCS_PTR_IS_ERR(request)) {
            ucx_lose(peer, "UCX cannot send to it");
        }
    }
}

static void begin_bunch(UcxPeer *peer)
{
    uint8_t *head = peer->bunch->bytes;

    memset(head, 0, AT_COOKIE);
    stw_le_p(head, peer->t->id);
    memcpy(head + AT_COOKIE, &peer->theirs, COOKIE_BYTES);
    peer->bunch->len = HEAD_BYTES;
}

static void ucx_send(Transport *transport, CohNodeId id, const void *head,
                     size_t head_len, const void *payload, size_t payload_len)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);
    UcxPeer *peer = &t->peer[id];
    UcxBuf *buf;

    if (!peer->ep || peer->lost) {
        return;
    }
    if (peer->bunch &&
        peer->bunch->len + head_len + payload_len >
        HEAD_BYTES + WIRE_BUNCH_MAX) {
        ucx_send_bunch(t, peer);
    }
    if (!peer->bunch) {
        peer->bunch = g_queue_pop_head(&t->free_bufs) ?: g_new(UcxBuf, 1);
        peer->bunch->t = t;
        begin_bunch(peer);
        coh_set_add(&t->bunches, id);
    }
    buf = peer->bunch;
    memcpy(buf->bytes + buf->len, head, head_len);
    if (payload_len) {
        memcpy(buf->bytes + buf->len + head_len, payload, payload_len);
    }
    buf->len += head_len + payload_len;
    if (!t->corked) {
        ucx_send_bunch(t, peer);
    }
}

static void ucx_cork(Transport *transport, bool cork)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);

    t->corked = cork;
    for (CohNodeId id = coh_set_next(&t->bunches, 0);
         !cork && id != COH_NODE_NONE; id = coh_set_next(&t->bunches, id + 1)) {
        ucx_send_bunch(t, &t->peer[id]);
    }
}

static void ucx_push(Transport *transport, CohNodeId id)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);

    if (t->peer[id].bunch) {
        ucx_send_bunch(t, &t->peer[id]);
    }
}

/* The peer whose cookie is at @head, or NULL. */
static UcxPeer *sender_of(TransportUcx *t, const uint8_t *head)
{
    UcxPeer *peer = &t->peer[lduw_le_p(head) % COH_NODES_MAX];
    uint8_t differs = 0;

    for (unsigned i = 0; i < COOKIE_BYTES; i++) {
        differs |= head[AT_COOKIE + i] ^ peer->ours.bytes[i];
    }
    return peer->ep && !differs && peer->id == lduw_le_p(head) ? peer : NULL;
}

static ucs_status_t ucx_received(void *arg, const void *header,
                                 size_t header_len, void *data, size_t len,
                                 const ucp_am_recv_param_t *param)
{
    TransportUcx *t = arg;
    UcxPeer *peer = NULL;

    /* All is sent eagerly and whole; anything else is not ours. */
    if (!(param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) && !header_len &&
        len > HEAD_BYTES) {
        peer = sender_of(t, data);
    }
    if (peer) {
        t->listener->frames(t->opaque, peer->id, (uint8_t *)data + HEAD_BYTES,
                            len - HEAD_BYTES);
    } else {
        /* No node can be blamed for it. */
        trace_distkvm_bad_frame(len);
    }
    return UCS_OK;
}

static bool ucx_poll(Transport *transport)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);

    return ucx.worker_progress(t->worker);
}

static int ucx_wait_fd(Transport *transport)
{
    return container_of(transport, TransportUcx, parent)->efd;
}

static bool ucx_arm(Transport *transport)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);

    return ucx.worker_arm(t->worker) == UCS_OK;
}

/*
 * UCX 1.13 has no call that names an endpoint's transports, but it prints
 * them: "# lane[0]: 3:posix/memory.0 md[...] -> ...".
 */
static char *ucx_describe(Transport *transport, CohNodeId id)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GRegex) lane = g_regex_new("lane\\[\\d+\\]:\\s*\\d+:([a-z_0-9]+)",
                                         0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *out;

    if (!t->peer[id].ep || t->peer[id].lost) {
        return g_strdup("none");
    }
    if (t->shm) {
        return g_strdup("shm");
    }
    out = open_memstream(&text, &len);
    ucx.ep_print_info(t->peer[id].ep, out);
    fclose(out);
    g_regex_match(lane, text, 0, &match);
    while (g_match_info_matches(match)) {
        g_autofree char *name = g_match_info_fetch(match, 1);

        if (!strstr(names->str, name)) {
            g_string_append_printf(names, "%s%s", names->len ? "+" : "", name);
        }
        g_match_info_next(match, NULL);
    }
    free(text);
    return g_strdup(names->len ? names->str : "unknown");
}

static void ucx_destroy(Transport *transport)
{
    TransportUcx *t = container_of(transport, TransportUcx, parent);
    UcxBuf *buf;

    for (CohNodeId id = 0; id < COH_NODES_MAX; id++) {
        ucx_disconnect(transport, id);
    }
    if (t->address) {
        ucx.worker_release_address(t->worker, t->address);
    }
    if (t->worker) {
        ucx.worker_destroy(t->worker);
    }
    if (t->context) {
        ucx.cleanup(t->context);
    }
    while ((buf = g_queue_pop_head(&t->free_bufs))) {
        g_free(buf);
    }
    g_free(t);
}

static const TransportOps ucx_ops = {
    .address = ucx_address,
    .connect = ucx_connect,
    .send = ucx_send,
    .cork = ucx_cork,
    .push = ucx_push,
    .poll = ucx_poll,
    .wait_fd = ucx_wait_fd,
    .arm = ucx_arm,
    .disconnect = ucx_disconnect,
    .describe = ucx_describe,
    .destroy = ucx_destroy,
};

/* @tls: as of ucx_new(). */
static ucs_status_t ucx_open(TransportUcx *t, const char *tls)
{
    ucp_params_t params = {
        .field_mask = UCP_PARAM_FIELD_FEATURES |
                      UCP_PARAM_FIELD_ESTIMATED_NUM_EPS,
        .features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP,
        .estimated_num_eps = COH_NODES_MAX,
    };
    ucp_worker_params_t worker_params = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE |
                      UCP_WORKER_PARAM_FIELD_EVENTS,
        .thread_mode = UCS_THREAD_MODE_SERIALIZED,
        .events = UCP_WAKEUP_RX | UCP_WAKEUP_TX,
    };
    ucp_am_handler_param_t handler = {
        .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID |
                      UCP_AM_HANDLER_PARAM_FIELD_CB |
                      UCP_AM_HANDLER_PARAM_FIELD_ARG,
        .id = UCX_AM_ID,
        .cb = ucx_received,
        .arg = t,
    };
    ucp_config_t *config;
    ucs_status_t status = ucx.config_read(NULL, NULL, &config);

    if (status != UCS_OK) {
        return status;
    }
    if (tls) {
        ucx.config_modify(config, "TLS", tls);
    }
    status = ucx.init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config,
                              &t->context);
    ucx.config_release(config);
    if (status == UCS_OK) {
        status = ucx.worker_create(t->context, &worker_params, &t->worker);
    }
    if (status == UCS_OK) {
        status = ucx.worker_set_am_recv_handler(t->worker, &handler);
    }
    if (status == UCS_OK) {
        status = ucx.worker_get_efd(t->worker, &t->efd);
    }
    if (status == UCS_OK) {
        status = ucx.worker_get_address(t->worker, &t->address,
                                        &t->address_len);
    }
    return status;
}

/*
 * @tls: transports that UCX may use; NULL: as it or its environment chooses.
 * @shm: they are shared memory.
 */
static Transport *ucx_new(const char *tls, bool shm,
                          const TransportListener *listener, void *opaque,
                          Error **errp)
{
    TransportUcx *t;
    ucs_status_t status;

    if (!ucx_load(errp)) {
        return NULL;
    }
    t = g_new0(TransportUcx, 1);
    t->parent.ops = &ucx_ops;
    t->shm = shm;
    t->listener = listener;
    t->opaque = opaque;
    g_queue_init(&t->free_bufs);
    status = ucx_open(t, tls);
    if (status != UCS_OK) {
        error_setg(errp, "distkvm: UCX cannot be set up over %s (status %d)",
                   shm ? tls : "the network", status);
        error_append_hint(errp, shm
                          ? "Check kernel.shmmax, kernel.shmall and"
                            " kernel.shmmni, or use transport=tls.\n"
                          : "Check UCX_TLS and UCX_NET_DEVICES.\n");
        ucx_destroy(&t->parent);
        return NULL;
    }
    return &t->parent;
}

Transport *transport_ucx_new(const TransportListener *listener, void *opaque,
                             Error **errp)
{
    return ucx_new(NULL, false, listener, opaque, errp);
}

Transport *transport_ucx_unshared_new(const TransportListener *listener,
                                      void *opaque, Error **errp)
{
    g_autofree char *tls = transport_ucx_unshared(g_getenv("UCX_TLS"));

    return ucx_new(tls, false, listener, opaque, errp);
}

/*
 * System V segments, which the kernel keeps apart from /dev/shm: its size,
 * small in containers, does not matter.
 */
Transport *transport_shm_new(const TransportListener *listener, void *opaque,
                             Error **errp)
{
    Transport *t = ucx_new("sysv,self", true, listener, opaque, errp);

    transport_shm_guard();
    return t;
}
