/*
 * QEMU's event notifiers: a test counts how often one is set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_EVENT_NOTIFIER_H
#define QEMU_EVENT_NOTIFIER_H

typedef struct EventNotifier {
    int set;                /* atomic */
} EventNotifier;

static inline int event_notifier_init(EventNotifier *notifier, int active)
{
    notifier->set = active;
    return 0;
}

static inline void event_notifier_cleanup(EventNotifier *notifier)
{
    notifier->set = -1;
}

static inline int event_notifier_set(EventNotifier *notifier)
{
    __atomic_fetch_add(&notifier->set, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static inline int event_notifier_test_and_clear(EventNotifier *notifier)
{
    return __atomic_exchange_n(&notifier->set, 0, __ATOMIC_SEQ_CST);
}

static inline int event_notifier_get_fd(const EventNotifier *notifier)
{
    return -1;
}

#endif
