/*
 * distkvm: requests that one thread waits for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REQUEST_GROUP_H
#define DISTKVM_REQUEST_GROUP_H

#include "qemu/thread.h"

typedef struct RequestGroup {
    unsigned left;          /* atomic: not served yet                       */
    QemuSemaphore done;
} RequestGroup;

/* A group of @n requests, each of which is to be added, or done. */
void request_group_init(RequestGroup *group, unsigned n);
/* One of them is done; the last one wakes the thread that waits. */
void request_group_done(RequestGroup *group);
/*
 * Wait for all of them; the group is over.  False: *@hung (atomic) became true
 * before.  A lane may go on later, so the group, its requests and their bytes
 * must stay for ever.  Any thread but the lanes'.
 */
bool request_group_wait(RequestGroup *group, const bool *hung);

#endif
