/*
 * distkvm: the environment that UCX finds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TRANSPORT_UCX_ENV_H
#define DISTKVM_TRANSPORT_UCX_ENV_H

/*
 * Set the environment that UCX reads once: before threads run.  @host: this
 * node's own address, of "ucx" (NULL: of "shm").  False and @errp if no
 * interface has it.
 */
bool transport_ucx_prepare(const char *host, Error **errp);
/*
 * UCX_TLS without shared memory, where it is @tls now, or NULL: not set;
 * g_free.  NULL: @tls is a list of transports, and its author's to change.
 * Pure.
 */
char *transport_ucx_unshared(const char *tls);
/*
 * Take the group's right to open this process's segments, which UCX gives.
 * To be called again and again, as UCX makes more of them.  Any thread.
 */
void transport_shm_guard(void);

#endif
