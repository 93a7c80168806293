/*
 * distkvm: functions of the engine as the linker's --wrap names them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_EARLY_LOSS_H
#define DISTKVM_EARLY_LOSS_H

#include "accel/distkvm/engine/mailbox.h"
#include "accel/distkvm/engine/engine.h"

/* The engine's own. */
void __real_engine_start(Engine *e);
/* In its place, for the node. */
void __wrap_engine_start(Engine *e);
/* The same of mailbox_call(), for test-hung.c. */
bool __real_mailbox_call(Mailbox *mailbox, MailboxFn *fn, void *opaque,
                         unsigned ms);
bool __wrap_mailbox_call(Mailbox *mailbox, MailboxFn *fn, void *opaque,
                         unsigned ms);

#endif
