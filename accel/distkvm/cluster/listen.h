/*
 * distkvm: connections that peers dial
 *
 * Member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LISTEN_H
#define DISTKVM_LISTEN_H

#include "accel/distkvm/wire/channel.h"

/*
 * Listen at this node's address.  Main thread, before the member thread.  False
 * and @errp if it cannot be had.
 */
bool listen_start(Error **errp);
/* Each tick, for ever: connections that take too long are closed. */
void listen_tick(int64_t now_ms);
/* @dict, of @type and @len bytes, came on @c, which is no member's. */
void listen_message(Channel *c, const char *type, const QDict *dict,
                    size_t len);
/* @c, which is no member's, has ended. */
void listen_gone(Channel *c);

#endif
