/*
 * QEMU's singly linked queues, as far as the parts of a lane use them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_SYS_QUEUE_H
#define QEMU_SYS_QUEUE_H

#include "qemu/atomic.h"

#define QSIMPLEQ_HEAD(name, type) \
    struct name { struct type *first; struct type **last; }
#define QSIMPLEQ_ENTRY(type) struct { struct type *next; }
#define QSIMPLEQ_HEAD_INITIALIZER(head) { NULL, &(head).first }
#define QSIMPLEQ_INIT(head) \
    ((head)->first = NULL, (head)->last = &(head)->first)
#define QSIMPLEQ_FIRST(head) ((head)->first)
#define QSIMPLEQ_EMPTY_ATOMIC(head) (!qatomic_read(&(head)->first))
#define QSIMPLEQ_INSERT_TAIL(head, item, field) do {    \
    (item)->field.next = NULL;                          \
    *(head)->last = (item);                             \
    (head)->last = &(item)->field.next;                 \
} while (0)
#define QSIMPLEQ_REMOVE_HEAD(head, field) do {          \
    (head)->first = (head)->first->field.next;          \
    if (!(head)->first) {                               \
        (head)->last = &(head)->first;                  \
    }                                                   \
} while (0)
#define QSIMPLEQ_CONCAT(head, other) do {               \
    if ((other)->first) {                               \
        *(head)->last = (other)->first;                 \
        (head)->last = (other)->last;                   \
        QSIMPLEQ_INIT(other);                           \
    }                                                   \
} while (0)

#endif
