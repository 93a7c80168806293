/*
 * distkvm: do the statements of two machines fit together?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_HELLO_AGREE_H
#define DISTKVM_HELLO_AGREE_H

#include "qobject/qdict.h"
#include "accel/distkvm/core/coh-types.h"

/*
 * False and @errp, naming the fact that differs, if @theirs, of @node, which may
 * be anything, does not fit @ours, made by hello_machine_make().  Any thread.
 */
bool machine_hello_fits(const QDict *ours, const QDict *theirs,
                        CohNodeId node, Error **errp);

#endif
