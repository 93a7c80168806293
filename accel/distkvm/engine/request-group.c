/*
 * distkvm: requests that one thread waits for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hung.h"
#include "request-group.h"

void request_group_init(RequestGroup *group, unsigned n)
{
    group->left = n;
    qemu_sem_init(&group->done, 0);
}

void request_group_done(RequestGroup *group)
{
    if (qatomic_fetch_dec(&group->left) == 1) {
        qemu_sem_post(&group->done);
    }
}

bool request_group_wait(RequestGroup *group, const bool *hung)
{
    if (!hung_wait(&group->done, hung)) {
        return false;
    }
    qemu_sem_destroy(&group->done);
    return true;
}
