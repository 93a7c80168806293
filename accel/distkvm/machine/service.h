/*
 * distkvm: work that needs the big lock
 *
 * Any thread, any lock; never waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_SERVICE_H
#define DISTKVM_SERVICE_H

/* Main thread, once. */
void service_start(void);
/* Run @fn(@opaque) under the BQL, in order, on a thread that may block. */
void service_queue(void (*fn)(void *opaque), void *opaque);
/*
 * The same in the main loop, where vCPUs can be paused, between commands of the
 * monitor and never within one, nor within a wait for a disk.  So neither @fn nor
 * a command may wait for another such call.
 */
void service_queue_main(void (*fn)(void *opaque), void *opaque);
/*
 * Is this the thread of service_queue()?  It serves all peers, and waits for
 * none.
 */
bool service_is_this_thread(void);

#endif
