/*
 * distkvm: frames over UCX
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TRANSPORT_UCX_H
#define DISTKVM_TRANSPORT_UCX_H

#include "transport.h"

/* UCX, loaded when first needed.  NULL and @errp if it cannot be used. */
TransportNew transport_ucx_new;
/*
 * The same without shared memory, for peers that UCX would wrongly share it
 * with.  The same as transport_ucx_new() if UCX_TLS is a list of transports.
 */
TransportNew transport_ucx_unshared_new;
/* The same over shared memory alone, which opens no port. */
TransportNew transport_shm_new;
/* "none" if UCX is not loaded.  Nodes need the same version. */
const char *transport_ucx_version(void);

#endif
