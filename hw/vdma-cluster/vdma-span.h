/*
 * distkvm: an iovec as pieces of pages
 *
 * Walks an iovec beside a buffer, and gives pieces within one page each.
 * Pieces that follow each other both in the page and in the buffer are one,
 * wherever the iovec is cut.  Pure: touches neither memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VDMA_SPAN_H
#define VDMA_SPAN_H

#define VDMA_PAGE 4096u     /* bytes, and the alignment of guest pages here */

typedef struct VdmaSpan {
    uint8_t *guest;         /* of the iovec                                 */
    uint8_t *buffer;
    uint32_t length;        /* 1 to 4096 bytes, within one page of @guest   */
} VdmaSpan;

/* The walk's own but for @done. */
typedef struct VdmaWalk {
    const struct iovec *iov, *end;
    size_t at;              /* bytes of @iov that are behind                */
    uint8_t *buffer;
    size_t left;            /* bytes of @buffer                             */
    size_t done;            /* bytes of all spans so far                    */
} VdmaWalk;

/*
 * Begin at byte @offset of the @n elements of @iov, beside @bytes bytes at
 * @buffer.  The iovec may be shorter than that: then it ends the walk.
 */
void vdma_walk_init(VdmaWalk *walk, const struct iovec *iov, unsigned n,
                    size_t offset, void *buffer, size_t bytes);
/* The next piece; false: there is none. */
bool vdma_walk_next(VdmaWalk *walk, VdmaSpan *span);

static inline bool vdma_span_is_page(const VdmaSpan *span)
{
    return span->length == VDMA_PAGE;
}

#endif
