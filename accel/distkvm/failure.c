/*
 * distkvm: the end of a guest that has lost a node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "failure.h"
#include "node.h"
#include "say.h"

typedef struct FailureHook {
    void (*fn)(void *opaque);
    void *opaque;
} FailureHook;

static struct {
    GArray *hooks[FAILURE__STAGES];     /* FailureHook; constant after start */
    bool fenced;                        /* atomic */
    CohNodeSet lost;                    /* BQL */
    CohNodeId first;                    /* set before why */
    char *why;                          /* of the first; NULL: none is lost */
} failure;

bool failure_is_fenced(void)
{
    return qatomic_read(&failure.fenced);
}

/* Before any thread can read zeroes for a page that will not come. */
static void fence(void *unused)
{
    qatomic_set(&failure.fenced, true);
    /* Pairs with the copies that ask failure_is_fenced() afterwards. */
    smp_mb();
}

void failure_init(void)
{
    for (int i = 0; i < FAILURE__STAGES; i++) {
        failure.hooks[i] = g_array_new(false, false, sizeof(FailureHook));
    }
    failure_register(FAILURE_FENCE, fence, NULL);
}

void failure_register(FailureStage stage, void (*fn)(void *opaque),
                      void *opaque)
{
    FailureHook hook = { .fn = fn, .opaque = opaque };

    g_array_append_val(failure.hooks[stage], hook);
}

static void run_stage(FailureStage stage)
{
    for (guint i = 0; i < failure.hooks[stage]->len; i++) {
        const FailureHook *hook = &g_array_index(failure.hooks[stage],
                                                 FailureHook, i);

        hook->fn(hook->opaque);
    }
}

void failure_release(void)
{
    run_stage(FAILURE_FENCE);
    run_stage(FAILURE_RELEASE);
}

void failure_raise(const char *why)
{
    /* Errors of commands begin so, and @why may be one. */
    static const char prefix[] = "distkvm: ";

    if (g_str_has_prefix(why, prefix)) {
        why += strlen(prefix);
    }
    if (qatomic_xchg(&distkvm->failed, true)) {
        return;
    }
    say_error("distkvm: %s. Node %d has stopped the guest, which cannot go"
              " on; inspect it, then quit.", why, distkvm->id);
    run_stage(FAILURE_STOP_VCPUS);
    failure_release();
    run_stage(FAILURE_TELL);
}

bool failure_note_lost(CohNodeId node, const char *why)
{
    if (coh_set_has(&failure.lost, node)) {
        return false;
    }
    coh_set_add(&failure.lost, node);
    if (!failure.why) {
        failure.first = node;
        /* Pairs with failure_first_lost(). */
        qatomic_store_release(&failure.why, g_strdup(why));
    }
    return true;
}

bool failure_first_lost(CohNodeId *node, const char **why)
{
    *why = qatomic_load_acquire(&failure.why);
    *node = failure.first;
    return *why;
}
