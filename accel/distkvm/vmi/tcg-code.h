/*
 * distkvm: translated code of pages that come and go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TCG_CODE_H
#define DISTKVM_TCG_CODE_H

#include "accel/distkvm/core/coh-types.h"

/* Main thread, once; coherent RAM is known. */
void code_init(void);
/*
 * @page has just left this node: translations of it are stale before this
 * returns.  Any thread, any lock.
 */
void code_page_revoked(CohPage page);

#endif
