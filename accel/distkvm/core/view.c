/*
 * distkvm: which nodes are members now
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "view.h"

/* As QEMU's qemu/seqlock.h, which the core does not know. */
View view_get(const SharedView *shared)
{
    uint64_t seq;
    View view;

    do {
        seq = __atomic_load_n(&shared->seq, __ATOMIC_ACQUIRE);
        for (int w = 0; w < COH_SET_WORDS; w++) {
            view.members.word[w] = __atomic_load_n(&shared->word[w],
                                                   __ATOMIC_RELAXED);
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (seq % 2 ||
             seq != __atomic_load_n(&shared->seq, __ATOMIC_RELAXED));
    view.number = seq / 2;
    return view;
}

static void publish(SharedView *shared, const View *view)
{
    __atomic_store_n(&shared->seq, view->number * 2 - 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (int w = 0; w < COH_SET_WORDS; w++) {
        __atomic_store_n(&shared->word[w], view->members.word[w],
                         __ATOMIC_RELAXED);
    }
    __atomic_store_n(&shared->seq, view->number * 2, __ATOMIC_RELEASE);
}

void view_init(SharedView *shared, CohNodeId self)
{
    View view = { .number = 1, .members = coh_set_one(self) };

    publish(shared, &view);
}

uint64_t view_add(SharedView *shared, CohNodeId node)
{
    View view = view_get(shared);

    if (!coh_set_has(&view.members, node)) {
        view.number++;
        coh_set_add(&view.members, node);
        publish(shared, &view);
    }
    return view.number;
}

uint64_t view_remove(SharedView *shared, CohNodeId node)
{
    View view = view_get(shared);

    if (coh_set_has(&view.members, node)) {
        view.number++;
        coh_set_remove(&view.members, node);
        publish(shared, &view);
    }
    return view.number;
}
