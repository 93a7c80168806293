/*
 * distkvm: copies between coherent memory and buffers, and their counts
 *
 * The calls are in system/distkvm-dma.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_COPY_H
#define DISTKVM_COPY_H

typedef enum CopyKind {
    COPY_GOT,               /* from pages' owners                           */
    COPY_PUT,               /* to pages' owners                             */
    COPY_MOVED,             /* of pages that came for it                    */
    COPY_FILLED,            /* of pages that came without their bytes       */
    COPY_LOCAL,             /* of pages that were here                      */
    COPY__MAX
} CopyKind;

typedef struct CopyCounts {
    uint64_t spans[COPY__MAX];  /* pieces of a page, or pages               */
    uint64_t bytes[COPY__MAX];
} CopyCounts;

/* Since this node began.  Any thread. */
void copy_counts(CopyCounts *counts);

#endif
