/*
 * distkvm: membership
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBERSHIP_H
#define DISTKVM_MEMBERSHIP_H

#include "member-ops.h"

/*
 * Begin to look for peers; @ops is static.  Main thread, once, when the engine
 * runs.
 */
void membership_start(const MemberOps *ops);

#endif
