/*
 * distkvm: the split-lock token
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TCG_LOCK_H
#define DISTKVM_TCG_LOCK_H

#include "accel/distkvm/core/coh-types.h"

/* Serve WIRE_TOKEN frames.  Main thread, before membership starts. */
void tcg_lock_init(void);
/*
 * Since when this node has waited for the split-lock token, in ns of
 * get_clock(), and in *@node the node that has it, as far as this one knows; 0:
 * it does not wait.  Any thread.
 */
int64_t tcg_lock_waits_since_ns(CohNodeId *node);

#endif
