/*
 * distkvm: how peers become members
 *
 * Member thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_JOIN_H
#define DISTKVM_JOIN_H

#include "roster.h"
#include "stranger.h"

/* Main thread, once. */
void join_init(void);
/* The first message of @s, a hello. */
void join_hello(Stranger *s, const QDict *hello);
/*
 * @m answers our hello with @hello, which may be of another version: so it is
 * looked at before it is parsed.  The fault in it, or NULL.
 */
const char *join_answer(Member *m, const QDict *hello);
/* Take the steps that are possible now. */
void join_proceed(Member *m);
/* Each tick: dial, and give up steps that take too long. */
void join_tick(int64_t now_ms);

#endif
