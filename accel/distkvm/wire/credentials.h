/*
 * distkvm: credentials, this node's own and those it asks for
 *
 * QEMU's own credentials (tls-creds-psk, tls-creds-x509), as migration and NBD
 * take them.  A node dials some peers and is dialed by others, so it needs
 * both ends: each is made from the directory of the object that is named.
 * Main thread, before membership starts; constant afterwards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CREDENTIALS_H
#define DISTKVM_CREDENTIALS_H

#include "io/channel-tls.h"
#include "greeting.h"

/*
 * Load the credentials object @id (NULL: none); @authz is the object that a
 * certificate's distinguished name must pass (NULL: none).  @over_unix: peers
 * are reached by Unix sockets only.  False and @errp, which names the
 * remedies, if nothing secures the cluster and @insecure does not say so.
 */
bool credentials_load(const char *id, const char *authz, bool insecure,
                      bool over_unix, Error **errp);
Security credentials_security(void);
/* Does a TLS handshake follow the greeting? */
bool credentials_use_tls(void);
/*
 * One end of a TLS connection over @sioc, not yet shaken hands.  A certificate
 * must be that of @host.  NULL and @errp if it cannot be made.
 */
QIOChannelTLS *credentials_tls(QIOChannel *sioc, bool server,
                               const char *host, Error **errp);

#endif
