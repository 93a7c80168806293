/*
 * distkvm: guest RAM whose pages come and go
 *
 * Pages of coherent RAM are absent, read-only or writable at this node, as
 * the protocol decides; accesses that are not allowed stop the accessing
 * thread and show up here as faults.  Knows no peer and no protocol.
 *
 * All calls but mem_add_block() are made by the engine thread.  None takes
 * the BQL, waits for RCU or touches an absent page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEM_H
#define DISTKVM_MEM_H

#include "lanes.h"

typedef struct Mem Mem;

typedef struct MemFault {
    CohPage page;
    bool write;
    uint32_t tid;       /* of the stopped thread, 0 if unknown              */
    bool alone;         /* the thread has named all pages that it wants     */
} MemFault;

/*
 * Memory whose faults are told apart by lane.  NULL and @errp if the host
 * kernel does not give what is needed.
 */
Mem *mem_uffd_new(const Lanes *lanes, Error **errp);
void mem_free(Mem *mem);

/*
 * Add @size bytes at @host as the pages from @first on; nothing of it may
 * have been touched yet.  Main thread, before the engine runs.
 */
bool mem_add_block(Mem *mem, const char *name, void *host, uint64_t size,
                   CohPage first, Error **errp);

/* Becomes readable when mem_faults() has something. */
int mem_fd(Mem *mem, unsigned lane);
/* Collect up to @max faults of a lane; their number, or -errno. */
int mem_faults(Mem *mem, unsigned lane, MemFault *fault, int max);

/* Host address of @page. */
void *mem_host(Mem *mem, CohPage page);
/* Byte of coherent RAM at @host; false if there is none.  Any thread. */
bool mem_find(Mem *mem, const void *host, uint64_t *addr);

/*
 * Place @data (NULL: zeroes) in the absent @page.  Nobody is woken.
 * 0, or -errno: -ENOMEM, or -EEXIST if the page is not absent.
 */
int mem_install(Mem *mem, CohPage page, const void *data, bool writable);
/*
 * Allow or forbid writing to the present pages from @first on, which must be
 * in one block and of one lane.  0 or -errno.
 */
int mem_protect(Mem *mem, CohPage first, unsigned pages, bool writable);
/* Make the present @page absent and free it; waiters fault again. */
int mem_zap(Mem *mem, CohPage page);
/*
 * The same, and what the page held at that moment is in @copy.  @writable: it
 * may be written to until then.
 */
int mem_take(Mem *mem, CohPage page, bool writable, void *copy);
/* Wake all threads that wait for @page. */
void mem_wake(Mem *mem, CohPage page);
/*
 * The page is lost: system calls on it get EFAULT, other accesses SIGSEGV.
 * Wakes all threads that wait for it.
 */
void mem_poison(Mem *mem, CohPage page);
/*
 * The same for all memory, whose faults no thread serves now.  Any thread.
 */
void mem_poison_all(Mem *mem);
/* May @addr have been poisoned?  Async-signal-safe, as is the next. */
bool mem_is_poisoned(void *addr);
/*
 * Let the poisoned page at @addr be used again: it holds zeroes, or, after
 * mem_poison_all(), what this node had there.  False if that fails.
 */
bool mem_unpoison(void *addr);

#endif
