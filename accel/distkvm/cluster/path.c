/*
 * distkvm: the choice of a transport
 *
 * Chosen once all nodes have said where they are, by each of them alike:
 * shared memory if all are in one place, else streams.  The choice does not
 * depend on the order in which nodes came, since to be in one place is mutual.
 * With UCX those nodes choose alike that have a host and IPC namespace in
 * common; UCX shares no memory between others.
 * Spec: docs/architecture.rst, "Transport".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/sockets.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/credentials.h"
#include "accel/distkvm/wire/transport-stream.h"
#include "accel/distkvm/wire/transport-ucx.h"
#include "accel/distkvm/wire/transport-ucx-env.h"
#include "path.h"
#include "roster.h"

static const char *const transport_name[] = {
    [DISTKVM_TRANSPORT_AUTO] = "auto",
    [DISTKVM_TRANSPORT_SHM] = "shm",
    [DISTKVM_TRANSPORT_TLS] = "tls",
    [DISTKVM_TRANSPORT_UCX] = "ucx",
};

const char *distkvm_transport_name(DistKVMTransport transport)
{
    return transport_name[transport];
}

bool distkvm_config_transport(DistKVM *d, const char *text, Error **errp)
{
    g_autoptr(SocketAddress) address =
        socket_parse(d->address[d->id], &error_abort);
    bool over_unix = address->type == SOCKET_ADDRESS_TYPE_UNIX;
    size_t i = 0;

    while (text && i < ARRAY_SIZE(transport_name) &&
           strcmp(text, transport_name[i])) {
        i++;
    }
    if (i == ARRAY_SIZE(transport_name)) {
        error_setg(errp, "distkvm: transport=%s is not known", text);
        error_append_hint(errp, "Use transport=auto, shm, tls or ucx.\n");
        return false;
    }
    d->transport = i;
    if (i == DISTKVM_TRANSPORT_UCX && over_unix) {
        error_setg(errp, "distkvm: transport=ucx is for a network: with"
                   " peers=unix: use transport=shm, or leave it out");
        return false;
    }
    return i == DISTKVM_TRANSPORT_TLS ||
           transport_ucx_prepare(i == DISTKVM_TRANSPORT_UCX
                                 ? address->u.inet.host : NULL, errp);
}

bool distkvm_start_transport(DistKVM *d, Error **errp)
{
    Error *err = NULL;

    switch (d->transport) {
    case DISTKVM_TRANSPORT_UCX:
        return engine_set_transport(d->engine, transport_ucx_new, errp);
    case DISTKVM_TRANSPORT_SHM:
        return engine_set_transport(d->engine, transport_shm_new, errp);
    case DISTKVM_TRANSPORT_AUTO:
        if (!engine_set_transport(d->engine, transport_shm_new, &err)) {
            d->no_shm = g_strdup(error_get_pretty(err));
            error_free(err);
            return engine_set_transport(d->engine, transport_stream_new,
                                        errp);
        }
        return true;
    default:
        return true;
    }
}

bool path_uses_streams(void)
{
    return mm.transport == transport_stream_new;
}

/* Why not all nodes can share memory, or NULL; g_free. */
static char *why_apart(void)
{
    if (distkvm->no_shm) {
        return g_strdup(distkvm->no_shm);
    }
    /* UCX believes the address of a peer, which could be anybody's. */
    if (credentials_security() == SECURITY_NONE &&
        distkvm->transport == DISTKVM_TRANSPORT_AUTO) {
        return g_strdup("peers need not prove themselves (insecure=on)");
    }
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        const Member *m = &mm.member[n];

        if (n != distkvm->id && m->apart) {
            return g_strdup_printf("node %u %s", n, m->apart);
        }
    }
    return NULL;
}

/* The first node whose memory UCX must not share, or NULL. */
static const Member *misleading(void)
{
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (n != distkvm->id && mm.member[n].misleads) {
            return &mm.member[n];
        }
    }
    return NULL;
}

/* NULL: none suits, because of @apart. */
static TransportNew *choose(const char *apart)
{
    switch (distkvm->transport) {
    case DISTKVM_TRANSPORT_UCX:
        return misleading() ? transport_ucx_unshared_new : transport_ucx_new;
    case DISTKVM_TRANSPORT_TLS:
        return transport_stream_new;
    case DISTKVM_TRANSPORT_SHM:
        return apart ? NULL : transport_shm_new;
    default:
        return apart ? transport_stream_new : transport_shm_new;
    }
}

/* The transport that distkvm_start_transport() has put into the engine. */
static TransportNew *at_start(void)
{
    if (distkvm->transport == DISTKVM_TRANSPORT_TLS || distkvm->no_shm) {
        return transport_stream_new;
    }
    return distkvm->transport == DISTKVM_TRANSPORT_UCX ? transport_ucx_new
                                                       : transport_shm_new;
}

/* A node has come back from another place: all agree anew. */
static void begin_again(void)
{
    mm.decided = false;
    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        if (mm.member[n].channel) {
            roster_lose(&mm.member[n], "another way for frames is needed");
        }
    }
}

/* Why the best transport is not the one that was chosen. */
static void say_why(const char *apart)
{
    const Member *m = misleading();

    if (distkvm->transport == DISTKVM_TRANSPORT_AUTO && apart) {
        say_info("distkvm: node %d: frames travel over streams, not shared"
                 " memory: %s", distkvm->id, apart);
    } else if (distkvm->transport == DISTKVM_TRANSPORT_UCX && m) {
        g_autofree char *tls = transport_ucx_unshared(g_getenv("UCX_TLS"));

        if (tls) {
            say_info("distkvm: node %d: UCX shares no memory: node %d %s",
                     distkvm->id, m->id, m->apart);
        } else {
            say_warning("distkvm: node %d: node %d %s: UCX wakes no sleeper in"
                        " memory that they share, and UCX_TLS in the"
                        " environment decides whether they do: it must name"
                        " none of sm, shm, sysv and posix", distkvm->id, m->id,
                        m->apart);
        }
    }
}

bool path_decide(void)
{
    g_autofree char *apart = why_apart();
    TransportNew *chosen = choose(apart);
    TransportNew *active = mm.transport ?: at_start();
    Error *err = NULL;

    if (!chosen) {
        g_autofree char *why =
            g_strdup_printf("transport=shm cannot work: %s; use"
                            " transport=tls", apart);

        roster_give_up(why);
        return false;
    }
    if (mm.decided && chosen != mm.transport) {
        begin_again();
        return false;
    }
    if (chosen != active &&
        !engine_set_transport(distkvm->engine, chosen, &err)) {
        roster_give_up(error_get_pretty(err));
        error_free(err);
        return false;
    }
    if (mm.transport != chosen) {
        say_why(apart);
    }
    mm.transport = chosen;
    mm.decided = true;
    return true;
}
