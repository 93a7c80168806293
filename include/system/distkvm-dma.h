/*
 * distkvm: copies between guest memory and buffers of this process
 *
 * The pages of guest memory may be on any node.  A device model's copy goes to
 * each page, or fetches the page, whichever is better; the pages that other
 * nodes use stay with them.  QEMU's own copies (util/iov.c, system/physmem.c)
 * call a hook, which is NULL unless -accel distkvm is in use.  Idea: "reserve
 * memory with a copy at the end" of the 2003 design, paragraph 66.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SYSTEM_DISTKVM_DMA_H
#define SYSTEM_DISTKVM_DMA_H

/* dma-policy=: where bytes and pages meet (hw/vdma-cluster/vdma-policy.h). */
typedef enum DistkvmDmaPolicy {
    DISTKVM_DMA_AUTO,       /* by the table                                 */
    DISTKVM_DMA_VISIT,      /* bytes go to absent pages                     */
    DISTKVM_DMA_MOVE,       /* absent pages come                            */
    DISTKVM_DMA_FAULTS,     /* no hook at all: pages come one by one        */
    DISTKVM_DMA__MAX
} DistkvmDmaPolicy;

/* Of -accel distkvm; constant once the machine is initialised. */
DistkvmDmaPolicy distkvm_dma_policy(void);

/* A page, as of now, seen from this node. */
typedef enum DistkvmPageState {
    DISTKVM_PAGE_ABSENT,
    DISTKVM_PAGE_SHARED,    /* to be read                                   */
    DISTKVM_PAGE_OWNED,     /* to be written, too                           */
} DistkvmPageState;

/* How to copy. */
typedef enum DistkvmCopyWay {
    DISTKVM_COPY_HERE,      /* by this thread, which may fault              */
    DISTKVM_COPY_VISIT,     /* by the page's owner                          */
    DISTKVM_COPY_MOVE,      /* here, when the page has come                 */
    DISTKVM_COPY_FILL,      /* here, of a whole page that is put: the page  */
                            /* comes without the bytes that it had          */
} DistkvmCopyWay;

typedef struct DistkvmSpan {
    uint64_t addr;          /* byte offset into coherent RAM                */
    uint32_t length;        /* 1 to 4096 bytes, within one page             */
    DistkvmCopyWay way;
    bool stays;             /* after -EIO @buffer is nobody's any more      */
    void *buffer;           /* not in coherent RAM                          */
} DistkvmSpan;

/*
 * Byte offset into coherent RAM of @host, an address of this process; false:
 * it is not in coherent RAM.  Any thread.
 */
bool distkvm_ram_at(const void *host, uint64_t *addr);
/* Does this node execute all vCPUs of the guest?  As of now; any thread. */
bool distkvm_has_all_cpus(void);
/* Of the page at byte @addr of coherent RAM.  Any thread; never waits. */
DistkvmPageState distkvm_page_state(uint64_t addr);
/*
 * Copy all @n spans, @put into guest memory, else from it, each in its way and
 * all at once; returns when all are done.  Pages may be named twice; bytes of
 * overlapping spans come in any order.  No bytes of a page are visible that
 * are neither old nor new, and aligned words of 8 bytes are whole.
 *
 * Any thread but an engine's, the BQL held or not: nothing but pages is waited
 * for.  0, or -errno: -ENOTCONN before the cluster has formed, nothing is
 * copied; -EINVAL for a buffer in coherent RAM or for less than a page that is to
 * be filled, nothing is copied; -EIO, a node is lost, some spans are not copied,
 * and pages that were to be filled may be lost; -ECANCELED, the guest was reset,
 * some spans shall not be copied any more, and all others are copied.
 *
 * A thread of the engine that hangs after a loss may use a buffer that stays
 * at any later time: after -EIO its memory must neither be freed nor used
 * again.  Other buffers are the caller's again in any case, and their bytes are
 * copied once more.
 */
int distkvm_copy(const DistkvmSpan *span, unsigned n, bool put);

/*
 * As iov_from_buf() if @put, else iov_to_buf(), of an iovec that may be in
 * guest memory; *@done: bytes that were copied.  False: the caller must copy
 * all of it itself.
 */
typedef bool DistkvmCopyHook(const struct iovec *iov, unsigned iov_cnt,
                             size_t offset, void *buf, size_t bytes, bool put,
                             size_t *done);
/* Set once, before the guest runs; util/iov.c. */
extern DistkvmCopyHook *distkvm_copy_hook;

/* Bytes; the page of a shorter copy is used again at once, as of a ring. */
#define DISTKVM_COPY_MIN 256

static inline bool distkvm_copies(size_t bytes)
{
    return __builtin_expect(distkvm_copy_hook != NULL, 0) &&
           bytes >= DISTKVM_COPY_MIN;
}

/* As memmove(), between @bytes bytes of a RAM block at @ram and @buf. */
static inline void distkvm_copy_ram(void *ram, void *buf, size_t bytes,
                                    bool put)
{
    struct iovec iov = { .iov_base = ram, .iov_len = bytes };
    size_t done;

    if (!distkvm_copies(bytes) ||
        !distkvm_copy_hook(&iov, 1, 0, buf, bytes, put, &done)) {
        memmove(put ? ram : buf, put ? buf : ram, bytes);
    }
}

#endif
