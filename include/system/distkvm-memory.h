/*
 * distkvm: coherent memory, for emulators
 *
 * The calls of the 2003 design (paragraphs 92 to 95, table 2) under their
 * names.  QEMU's own parts may use them, and so may any other program: it
 * joins a cluster of its like with INIT and has a range of bytes that is the
 * same on all nodes.  Touching that range is enough (its page faults fetch
 * pages); the calls say more precisely what is wanted.
 *
 * An address is a byte offset into coherent RAM, the same on all nodes.  A
 * page is 4 KiB.  Words have 1, 2, 4 or 8 bytes and are naturally aligned; a
 * longer or unaligned access must stay within a page and is not atomic.
 *
 * Any thread, several at once, without locks that a thread which serves page
 * faults could need; never under QEMU's big lock.  Calls that return int give
 * 0 (if nothing else is said) or an errno, negative:
 *
 *   -EINVAL    no such address, length or operation; over the end of a page
 *   -EIO       a node is lost, and with it perhaps the page.  Calls that touch
 *              the page in this process (MEM_ACCESS, GET_PAGE of more than a
 *              word) may raise SIGSEGV instead, as any touch does then
 *   -ENOTCONN  this process is not a node of a complete cluster (yet)
 *   -EBUSY     INV_PAGE only: the page's home wants it to stay, or is here
 *   -ETIMEDOUT of words that are written: a node lies or errs, and the write
 *              may have happened or not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SYSTEM_DISTKVM_MEMORY_H
#define SYSTEM_DISTKVM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef enum DistkvmRw {
    DISTKVM_READ,
    DISTKVM_WRITE,
    DISTKVM_RMW,            /* read-modify-write; GET_PAGE only             */
} DistkvmRw;

/* Read-modify-write operations of GET_PAGE. */
typedef enum DistkvmOp {
    DISTKVM_OP_NONE,
    DISTKVM_INCREMENT,
    DISTKVM_DECREMENT,
    DISTKVM_EXCHANGE,       /* store, return what was there                 */
    DISTKVM_TEST_AND_SET,   /* store 1, return what was there               */
    DISTKVM_COMPARE_SWAP,   /* store if it is as expected                   */
} DistkvmOp;

typedef struct DistkvmInit {
    unsigned node;          /* this one, from 0                             */
    const char *peers;      /* of all nodes, "host:port/host:port", or      */
                            /* "unix:N:/dir"                                */
    const char *psk_dir;    /* holds keys.psk, as of tls-creds-psk; or NULL */
    unsigned insecure;      /* 1: no key, and strangers may join            */
    const char *transport;  /* "auto", "shm", "tls", "ucx"; NULL: auto      */
    uint64_t bytes;         /* of memory, a multiple of 4 KiB               */
    const char *mem;        /* share of each as a home, rounded to 2 MiB,   */
                            /* "2M/6M"; NULL: even                          */
    /* As the options of -accel distkvm with these names. */
    unsigned join_timeout_s, dead_after_ms;
    unsigned hold_us, spin_us, readahead, delta_pages, affinity;
    unsigned companions;
    /* 1: threads that wait may be bound to one CPU, as none creates others. */
    unsigned bind;
    unsigned lanes;         /* the same on all nodes; 0: chosen             */
} DistkvmInit;

/* Fill in the defaults; the caller sets node, peers and bytes. */
void distkvm_init_defaults(DistkvmInit *init);

/*
 * INIT(): join, with every page of this node invalid, and wait until all nodes
 * have joined.  Once per process, not in QEMU, whose accelerator does it.  On
 * failure *@why says what is wrong; free() it.
 */
int distkvm_init(const DistkvmInit *init, char **why);
/* Leave together: waits until all nodes have called it, or one is lost. */
void distkvm_end(void);

/*
 * The memory itself, for loads and stores of this process; NULL in QEMU.
 * After the loss of a node, touching an absent page raises SIGSEGV.
 */
void *distkvm_memory(void);

/*
 * INV_PAGE(address, RW): this node's copy of the page shall no more be valid
 * for writing; with DISTKVM_READ it shall not be valid at all.  The page goes
 * home, or is dropped where others have it.  It may be back at once if
 * somebody here touches it.
 */
int distkvm_inv_page(uint64_t addr, DistkvmRw rw);

/*
 * VLD_PAGE(address, RW): this node's copy of the page shall be valid, for
 * reading or also for writing.  Another node may invalidate it at any time.
 */
int distkvm_vld_page(uint64_t addr, DistkvmRw rw);

/*
 * VLD_PAGE for a range of @length bytes, over several pages: asked for in one
 * message to each home, up to a hundred pages.  For DMA.
 */
int distkvm_vld_range(uint64_t addr, uint64_t length, DistkvmRw rw);

/* 1: this node's copy is valid for that now, 0: it is not. */
int distkvm_page_is_valid(uint64_t addr, DistkvmRw rw);

/*
 * GET_PAGE(address, RW or RMW, buffer, length, op): @length bytes to or from
 * @buffer.  Words are read, written and operated on where the page is, without
 * moving it; if nobody owns it, it comes here.  Each is one atomic access.
 * Of RMW, @buffer holds the operand (EXCHANGE), or the expected value and then
 * the new one (COMPARE_SWAP), and gets what the word held before.
 */
int distkvm_get_page(uint64_t addr, DistkvmRw rw, void *buffer,
                     size_t length, DistkvmOp op);

/*
 * MEM_ACCESS(address, RW): one load or store of an emulated CPU, a word.
 * Where the page is here, it happens here.  Else the page comes; but if it
 * came often of late and was taken again after a few accesses, because other
 * nodes use other words of it, the access goes to the page instead.
 */
int distkvm_mem_access(uint64_t addr, DistkvmRw rw, void *buffer,
                       size_t length);

#endif
