/*
 * distkvm: membership
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBERSHIP_H
#define DISTKVM_MEMBERSHIP_H

#include "member-ops.h"

/*
 * @ops is static.  Main thread, once, before the engine runs: a lane that breaks
 * from then on is heard as soon as membership starts.
 */
void membership_init(const MemberOps *ops);
/* Begin to look for peers.  Main thread, once, when the engine runs. */
void membership_start(void);

#endif
