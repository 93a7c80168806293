/*
 * distkvm: an iovec as pieces of pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "vdma-span.h"

void vdma_walk_init(VdmaWalk *walk, const struct iovec *iov, unsigned n,
                    size_t offset, void *buffer, size_t bytes)
{
    *walk = (VdmaWalk) {
        .iov = iov, .end = iov + n, .at = offset, .buffer = buffer,
        .left = bytes,
    };
}

/* Bytes from @at to the end of its page. */
static size_t to_page_end(const uint8_t *at)
{
    return VDMA_PAGE - (uintptr_t)at % VDMA_PAGE;
}

/* Go to the next element that has bytes left; false: there is none. */
static bool find(VdmaWalk *walk)
{
    while (walk->iov < walk->end && walk->at >= walk->iov->iov_len) {
        walk->at -= walk->iov->iov_len;
        walk->iov++;
    }
    return walk->left && walk->iov < walk->end;
}

/* Bytes that the element has for @room bytes of a page. */
static size_t take(VdmaWalk *walk, size_t room)
{
    size_t n = MIN(MIN(room, walk->left), walk->iov->iov_len - walk->at);

    walk->at += n;
    walk->buffer += n;
    walk->left -= n;
    walk->done += n;
    return n;
}

bool vdma_walk_next(VdmaWalk *walk, VdmaSpan *span)
{
    size_t room;

    if (!find(walk)) {
        return false;
    }
    span->guest = (uint8_t *)walk->iov->iov_base + walk->at;
    span->buffer = walk->buffer;
    room = to_page_end(span->guest);
    span->length = take(walk, room);
    while (span->length < room && find(walk) &&
           (uint8_t *)walk->iov->iov_base + walk->at ==
           span->guest + span->length) {
        span->length += take(walk, room - span->length);
    }
    return true;
}
