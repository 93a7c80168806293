/*
 * distkvm: only the blocks that changed
 *
 * A node keeps snapshots of pages: the bytes that arrived, or left, under a
 * version.  A version names one content of one page, cluster-wide and for
 * ever.  From the highest bit it has 11 bits for the author (a lane of a
 * node), 8 bits for its incarnation (which of the processes that have had this
 * node's id, one after another), and a counter of 45 bits, which lasts 400
 * days at a million pages a second.  After that a node sends whole pages.  A
 * requester names the version it has; a supplier that has a snapshot of the
 * same version sends the blocks that differ from it.  Every node has version
 * 0, a page of zeroes.  (Diffs against twins: Munin, Carter, Bennett and
 * Zwaenepoel 1991.)
 *
 * The snapshots are a direct-mapped cache.  Losing one costs bytes, nothing
 * else; but one that a request has named is pinned until the answer came.
 *
 * No locks: one thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_DELTA_H
#define DISTKVM_DELTA_H

#include "accel/distkvm/core/coh-types.h"

#define DELTA_BLOCK 64
#define DELTA_BLOCKS (COH_PAGE_SIZE / DELTA_BLOCK)
/* Version of the base and the map of blocks, then the blocks. */
#define DELTA_HEAD 16
/* A longer encoding is not worth it: the page goes whole. */
#define DELTA_BYTES_MAX (COH_PAGE_SIZE * 7 / 8)

#define DELTA_ZERO_VERSION 0

typedef struct Delta Delta;

#define DELTA_AUTHOR_BITS 11
#define DELTA_INCARNATION_BITS 8

/*
 * @author, below 2047, gives versions that no other one gives, nor the same
 * one in another @incarnation.  @slots snapshots at most; 0: none, all pages
 * go whole.
 */
Delta *delta_new(unsigned author, unsigned incarnation, unsigned slots);
void delta_free(Delta *d);
/*
 * Keep @slots snapshots at most.  False, and nothing has changed: two that are
 * pinned would be in one slot, so try again when answers have come.  To try
 * again costs nothing as long as both are pinned.
 */
bool delta_resize(Delta *d, unsigned slots);
/* How often delta_resize() has looked at all snapshots. */
unsigned delta_walks(const Delta *d);

/* Memory that snapshots take.  Any thread; a little out of date. */
size_t delta_bytes(const Delta *d);
/* A version for a content that has none yet; 0 when the counter has ended. */
uint64_t delta_new_version(Delta *d);
/* The version of @page that there is a snapshot of, or 0. */
uint64_t delta_version(const Delta *d, CohPage page);
/* Are these the bytes that @page had when its version was stored? */
bool delta_is_same(const Delta *d, CohPage page, const void *data);
/* The same, and the snapshot stays until delta_unpin(). */
uint64_t delta_pin(Delta *d, CohPage page);
void delta_unpin(Delta *d, CohPage page);
/* @page's content under @version is @data. */
void delta_store(Delta *d, CohPage page, uint64_t version, const void *data);

/*
 * Encode @data for a node that has version @have of @page.  Bytes of @out
 * used, or 0 if the whole page had better be sent.
 */
size_t delta_encode(const Delta *d, CohPage page, uint64_t have,
                    const void *data, uint8_t out[DELTA_BYTES_MAX]);
/*
 * The opposite, from @len bytes of a peer.  False if they are malformed or
 * build on a version that is not here.
 */
bool delta_decode(const Delta *d, CohPage page, const void *in, size_t len,
                  uint8_t out[COH_PAGE_SIZE]);

#endif
