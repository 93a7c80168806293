/*
 * distkvm: credentials, this node's own and those it asks for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "crypto/tlscreds.h"
#include "crypto/tlscredspsk.h"
#include "crypto/tlscredsx509.h"
#include "qapi/qapi-types-crypto.h"
#include "qom/object_interfaces.h"
#include "credentials.h"

static struct {
    Security security;
    /* By QCryptoTLSCredsEndpoint. */
    QCryptoTLSCreds *creds[QCRYPTO_TLS_CREDS_ENDPOINT__MAX];
    char *authz;
} credentials;

Security credentials_security(void)
{
    return credentials.security;
}

bool credentials_use_tls(void)
{
    return credentials.security == SECURITY_PSK ||
           credentials.security == SECURITY_X509;
}

/*
 * GnuTLS would take ChaCha20 for pre-shared keys, whose hash AES-256 does not
 * fit; with the processor's help AES is ten times as fast.
 */
#define PRIORITY "NORMAL:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM" \
                 ":+CHACHA20-POLY1305"

/* One end with the keys of the user's object @have. */
static QCryptoTLSCreds *end_of(Object *have, int endpoint, Error **errp)
{
    static const char *const names[] = {
        "dir", "priority", "username", "passwordid",
    };
    const char *name = QCryptoTLSCredsEndpoint_str(endpoint);
    Object *made = object_new(object_get_typename(have));

    object_property_set_str(made, "priority", PRIORITY, &error_abort);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *value =
            object_property_find(have, names[i])
            ? object_property_get_str(have, names[i], NULL) : NULL;

        if (value && *value &&
            !object_property_set_str(made, names[i], value, errp)) {
            goto fail;
        }
    }
    if (!object_property_set_str(made, "endpoint", name, errp) ||
        !user_creatable_complete(USER_CREATABLE(made), errp)) {
        goto fail;
    }
    /* The only reference stays with credentials, until the process ends. */
    return QCRYPTO_TLS_CREDS(made);

fail:
    error_prepend(errp, "distkvm: tls-creds=, as endpoint=%s: ", name);
    object_unref(made);
    return NULL;
}

static bool load_object(const char *id, Error **errp)
{
    Object *have = object_resolve_path_component(object_get_objects_root(),
                                                 id);

    if (!have || !object_dynamic_cast(have, TYPE_QCRYPTO_TLS_CREDS)) {
        error_setg(errp, "distkvm: tls-creds=%s names no credentials", id);
        error_append_hint(errp, "Give -object tls-creds-psk,id=%s,dir=... or"
                          " -object tls-creds-x509,id=%s,dir=...\n", id, id);
        return false;
    }
    if (object_dynamic_cast(have, TYPE_QCRYPTO_TLS_CREDS_PSK)) {
        credentials.security = SECURITY_PSK;
    } else if (object_dynamic_cast(have, TYPE_QCRYPTO_TLS_CREDS_X509)) {
        credentials.security = SECURITY_X509;
    } else {
        error_setg(errp, "distkvm: tls-creds=%s is of a type that proves"
                   " nothing", id);
        error_append_hint(errp, "Use tls-creds-psk or tls-creds-x509.\n");
        return false;
    }
    if (!object_property_get_bool(have, "verify-peer", errp)) {
        error_setg(errp, "distkvm: tls-creds=%s has verify-peer=off, but"
                   " every node must prove itself", id);
        return false;
    }
    for (int end = 0; end < QCRYPTO_TLS_CREDS_ENDPOINT__MAX; end++) {
        credentials.creds[end] = end_of(have, end, errp);
        if (!credentials.creds[end]) {
            return false;
        }
    }
    return true;
}

bool credentials_load(const char *id, const char *authz, bool insecure,
                      bool over_unix, Error **errp)
{
    if (over_unix && (id || insecure)) {
        error_setg(errp, "distkvm: nodes behind Unix sockets are told by their"
                   " user: leave tls-creds= and insecure= out");
        return false;
    }
    if (id && insecure) {
        error_setg(errp, "distkvm: tls-creds= and insecure=on contradict each"
                   " other");
        return false;
    }
    if (!id && !insecure && !over_unix) {
        error_setg(errp, "distkvm: nothing keeps strangers out of the"
                   " addresses of peers=: give all nodes tls-creds=, or, on"
                   " one host, peers=unix:N:/dir; insecure=on lets anybody in"
                   " who can reach them");
        return false;
    }
    credentials.security = over_unix ? SECURITY_UID : SECURITY_NONE;
    if (id && !load_object(id, errp)) {
        return false;
    }
    if (authz && credentials.security != SECURITY_X509) {
        error_setg(errp, "distkvm: tls-authz= looks at names in certificates:"
                   " it needs tls-creds= of type tls-creds-x509");
        return false;
    }
    credentials.authz = g_strdup(authz);
    return true;
}

/* As channel-tls.c has them, which keeps its own to itself. */
static ssize_t tls_write(const char *buf, size_t len, void *opaque,
                         Error **errp)
{
    ssize_t ret = qio_channel_write(QIO_CHANNEL_TLS(opaque)->master, buf, len,
                                    errp);

    return ret == QIO_CHANNEL_ERR_BLOCK ? QCRYPTO_TLS_SESSION_ERR_BLOCK : ret;
}

static ssize_t tls_read(char *buf, size_t len, void *opaque, Error **errp)
{
    ssize_t ret = qio_channel_read(QIO_CHANNEL_TLS(opaque)->master, buf, len,
                                   errp);

    return ret == QIO_CHANNEL_ERR_BLOCK ? QCRYPTO_TLS_SESSION_ERR_BLOCK : ret;
}

/*
 * qio_channel_tls_new_server() and _client() check the other end's name on the
 * client's side only, and its authorization on the server's only.
 */
QIOChannelTLS *credentials_tls(QIOChannel *sioc, bool server,
                               const char *host, Error **errp)
{
    QCryptoTLSCredsEndpoint end = server ? QCRYPTO_TLS_CREDS_ENDPOINT_SERVER
                                         : QCRYPTO_TLS_CREDS_ENDPOINT_CLIENT;
    QIOChannelTLS *tls = QIO_CHANNEL_TLS(object_new(TYPE_QIO_CHANNEL_TLS));

    tls->master = sioc;
    object_ref(OBJECT(sioc));
    qio_channel_set_feature(QIO_CHANNEL(tls), QIO_CHANNEL_FEATURE_SHUTDOWN);
    tls->session = qcrypto_tls_session_new(credentials.creds[end], host,
                                           credentials.authz, end, errp);
    if (!tls->session) {
        object_unref(OBJECT(tls));
        return NULL;
    }
    qcrypto_tls_session_set_callbacks(tls->session, tls_write, tls_read, tls);
    return tls;
}
