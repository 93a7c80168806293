/*
 * distkvm: how the parts of a lane hear of pages
 *
 * The executor, which performs the protocol's actions, knows no part above it.
 * It calls hooks, in the order in which lane.c gives them.  A hook never steps
 * the protocol; it may lane_submit() an event.  NULL where a part does not
 * care.
 *
 * Two orders are correctness, and no hooks.  A page that leaves is gone, then
 * translations to it are outdated, then the answer is sent: page_gone() of
 * executor.c calls the host directly.  An operation whose page was fetched for
 * it is done before the next frame, which might take the page away again:
 * requests_run_moved() is called directly after each event and each frame.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PAGE_HOOKS_H
#define DISTKVM_PAGE_HOOKS_H

#include "accel/distkvm/core/coh-node.h"

typedef struct PageHooks {
    /* @page is here now. */
    void (*installed)(void *part, CohPage page);
    /* The present @page may be written to now, or not any more. */
    void (*changed)(void *part, CohPage page);
    /* The protocol made a step for @page: its peer state may be another. */
    void (*moved)(void *part, CohPage page);
    /*
     * The operation that @ev names is done, with @value found, or with the
     * @bytes of COH_OP_GET_BYTES.  False: no part asked for it.
     */
    bool (*answered)(void *part, const CohEvent *ev, uint64_t value,
                     const void *bytes);
    /* It must be done here, on a page that is fetched for it; the same. */
    bool (*refused)(void *part, const CohEvent *ev);
    /* May @page, of which this node is home, come back?  True: it will. */
    bool (*adopt)(void *part, CohPage page);
} PageHooks;

#endif
