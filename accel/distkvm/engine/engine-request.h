/*
 * distkvm: calls of the engine that wait for pages, and for operations on them
 *
 * Part of engine.h.  Any thread but an engine's, the BQL held or not: nothing
 * but pages is waited for, and nothing at all for long after a loss.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_REQUEST_H
#define DISTKVM_ENGINE_REQUEST_H

#include "accel/distkvm/core/coh-op.h"
#include "config.h"

/*
 * Wait until @page is on this node, to read or to write it.  It may go again
 * at any time.  0 or -EIO: a node is lost.
 */
int engine_validate(Engine *e, CohPage page, bool write);
/*
 * The same for a range, which is asked for in as few messages as there are
 * homes (and a hundred pages each).  Pages of its beginning may have gone
 * again when it returns, if there are many.
 */
int engine_validate_range(Engine *e, CohPage first, unsigned pages,
                          bool write);
/*
 * Do valid @op where the page is; *@old: the word's value before.  0, -EIO, or
 * -ETIMEDOUT: it writes, and may have been done or not.  No node has answered
 * for twice the limit of engine_watch(), and then the page has come.
 */
int engine_operate(Engine *e, CohPage page, const CohOp *op, uint64_t *old);
/* Bytes of one page. */
typedef struct EngineSpan {
    CohPage page;
    uint16_t offset, length;    /* 1 to 4096 bytes, within the page         */
    bool move;                  /* the page shall come, and nothing else    */
    bool fill;                  /* of a whole page that is put: it comes    */
    bool came;                  /* result: it came for this, or is to move  */
    bool filled;                /* result: it came without its bytes        */
    bool stays;                 /* after -EIO @buffer is nobody's any more  */
    void *buffer;               /* not in coherent RAM                      */
} EngineSpan;

/*
 * Get the bytes of @n spans, or @put them, where their pages are, all at once.
 * Where a page is to be filled, or has no owner and is put whole, it comes and
 * has the bytes of its span from then on: the bytes that it had do not travel.
 * A page that is to move may have gone again when this returns.  0, -EIO, or
 * -ECANCELED: the guest was reset meanwhile, and some bytes were not put.  After
 * -EIO a lane that hangs may use a buffer that stays, at any later time: bytes
 * of other buffers are copied once more, as lanes never touch these.
 */
int engine_copy(Engine *e, EngineSpan *span, unsigned n, bool put);
/*
 * The guest has just been reset: wait for the pages that were being filled, so
 * that the bytes of none come over what the guest writes after it.
 */
void engine_settle_fills(Engine *e);
/*
 * Let @page go home.  0, -EIO, or -EBUSY: its home wants it to stay, or is
 * this node.
 */
int engine_give_up(Engine *e, CohPage page);
/* Is @page on this node, to read or to write it?  As of now; any thread. */
bool engine_has(Engine *e, CohPage page, bool write);

#endif
