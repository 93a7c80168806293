/*
 * distkvm: control messages as structs
 *
 * qapi/distkvm-messages.json describes them.  QEMU's generator makes structs
 * and visitors of it, which refuse malformed messages.  Any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MESSAGE_H
#define DISTKVM_MESSAGE_H

#include "qobject/qdict.h"
#include "accel/distkvm/cluster/distkvm-qapi-types.h"
#include "accel/distkvm/wire/channel.h"

/*
 * NULL and @errp, in words that can be shown (wire/text.h), if @dict is no
 * message; qapi_free_MemberMessage().
 */
MemberMessage *message_parse(const QDict *dict, Error **errp);
/* @message as it goes over the wire; the caller's. */
QDict *message_format(const MemberMessage *message);
/* Send it on @c; never blocks. */
void message_send(Channel *c, const MemberMessage *message);

#endif
