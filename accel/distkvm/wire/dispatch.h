/*
 * distkvm: frames and their services
 *
 * A service registers for a type of frames of class B: interrupts, device
 * accesses, the split-lock token.  Sender, receiver, phase and length are in
 * wire/rules.c, and are checked before a frame gets here, so a service may rely
 * on them.  A frame that its service refuses expels its sender with one
 * message; no service warns and goes on.  After the
 * Linux kernel's dev_add_pack(): the lower layer learns of the upper one by
 * registration.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_DISPATCH_H
#define DISTKVM_DISPATCH_H

#include "wire.h"

typedef enum FrameContext {
    FRAME_NOW,          /* engine thread, no lock; must not block           */
    FRAME_BQL,          /* service thread, BQL held; gets a copy            */
} FrameContext;

/*
 * Both functions return NULL, or the rule that the frame breaks; the text goes
 * on after "it sent ".
 */
typedef struct FrameService {
    const char *name;           /* for the message of an expulsion          */
    FrameContext context;       /* of serve()                               */
    /* May the sender say this?  Engine thread, no lock; NULL: always. */
    const char *(*check)(const WireFrame *frame);
    /* @frame and its payload are valid for the call. */
    const char *(*serve)(const WireFrame *frame);
} FrameService;

/* The node around dispatch; any thread may call these. */
typedef struct DispatchHost {
    /* Run @fn(@opaque) on the service thread, BQL held, in order. */
    void (*queue)(void (*fn)(void *opaque), void *opaque);
    /* @peer broke the rules, as @why says. */
    void (*expel)(CohNodeId peer, const char *why);
} DispatchHost;

/* Main thread, before membership starts, as the next.  @host stays valid. */
void dispatch_start(const DispatchHost *host);
/*
 * Frames of @type go to @service, which stays valid.  A type has one service
 * at most, and a rule in wire/rules.c at least: else the process aborts.
 */
void dispatch_register(WireType type, const FrameService *service);
/*
 * Give @frame, which obeys wire/rules.c, to its service.  False: its sender
 * was expelled for it.  Engine thread.
 */
bool dispatch_frame(const WireFrame *frame);

#endif
