/*
 * Requests of threads between fakes, for tests of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REQUEST_FAKE_H
#define REQUEST_FAKE_H

#include "accel/distkvm/engine/request.h"
#include "lane-fake.h"

#define PAGE FAKE_FAR

extern Requests requests;
/* Outcome of the next event for a page. */
extern uint8_t next_state;
extern bool changes_state;
/* Below the cap, for a page that is to be filled. */
extern bool has_room;

/* Everything anew, before each test. */
void setup(void);
/* Ask for PAGE, alone in a group: @r is the lane's until is_done(). */
void ask(Request *r, RequestKind kind, bool write);
/* The same for 4 bytes of @page, to or from @bytes. */
void ask_bytes(Request *r, CohPage page, CohOpCode code, void *bytes);
/* Put a page of @bytes into PAGE, here if @fill. */
void ask_whole(Request *r, void *bytes, bool fill);
bool is_done(Request *r);
/* PAGE is in @state now, by a frame. */
void move(uint8_t state);

#endif
