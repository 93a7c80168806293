/*
 * distkvm: types that members and their embedder share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMBER_TYPES_H
#define DISTKVM_MEMBER_TYPES_H

typedef enum {
    MEMBER_ABSENT,
    MEMBER_GREETING,    /* connected, hello not yet checked                 */
    MEMBER_JOINED,
    MEMBER_LEFT,
    MEMBER_LOST,
} MemberState;

/* Where a control message is served; messages of one context in order. */
typedef enum MemberContext {
    MEMBER_THREAD,      /* the member thread: no BQL, never waits           */
    MEMBER_BQL,         /* a thread of its own, BQL held                    */
    MEMBER_MAIN,        /* the main loop, BQL held: vCPUs can be paused     */
} MemberContext;

#endif
