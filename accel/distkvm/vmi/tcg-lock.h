/*
 * distkvm: one misaligned LOCK at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TCG_LOCK_H
#define DISTKVM_TCG_LOCK_H

#include "accel/distkvm/wire/wire.h"

/* Main thread, once. */
void token_init(void);
/* Engine thread. */
void token_frame(const WireFrame *frame);
/*
 * Since when has this node waited for the token, in ns of get_clock(), and for
 * which node, as far as it is known?  0: it does not wait.  Any thread.
 */
int64_t token_waits_since_ns(CohNodeId *node);

#endif
