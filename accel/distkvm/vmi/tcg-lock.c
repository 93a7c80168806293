/*
 * distkvm: misaligned locked instructions under TCG
 *
 * TCG executes a misaligned locked instruction (x86's split lock) as a load and
 * a store, with only this node's vCPUs stopped.  The split-lock token lets one
 * node at a time do so (split-lock.h).  Meanwhile the pages that this node owns
 * stay with it, because another node's aligned atomics do not ask for the
 * split-lock token.  Waits on vCPU threads only, without the BQL.
 * Spec: docs/architecture.rst, "LOCK".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cpu-common.h"
#include "exec/exec-all.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "system/distkvm.h"
#include "accel/distkvm/node.h"
#include "split-lock.h"

/* The access that made the vCPU of this thread step. */
static __thread uint64_t hint_addr;
static __thread int hint_size;
static __thread bool pinned;

void distkvm_atomic_hint(uint64_t addr, int size)
{
    hint_addr = addr;
    hint_size = size;
}

/* The host address of guest RAM at @addr, or NULL. */
static uint8_t *ram_at(CPUState *cpu, uint64_t addr)
{
    void *host = NULL;
    int flags = probe_access_flags(cpu_env(cpu), addr, 1, MMU_DATA_STORE,
                                   cpu_mmu_index(cpu, false), true, &host, 0);

    return flags & (TLB_INVALID_MASK | TLB_MMIO) ? NULL : host;
}

/* The page of coherent RAM at @host; COH_PAGE_NONE: it is not coherent. */
static CohPage page_at(const void *host)
{
    uint64_t addr;

    return engine_find(distkvm->engine, host, &addr) ? addr >> COH_PAGE_BITS
                                                     : COH_PAGE_NONE;
}

void distkvm_atomic_pin(CPUState *cpu)
{
    uint64_t last = hint_addr + hint_size - 1;
    uint8_t *first_byte, *last_byte;

    if (!distkvm || !node_is_formed() || !hint_size) {
        return;
    }
    hint_size = 0;
    first_byte = ram_at(cpu, hint_addr);
    last_byte = ram_at(cpu, last & TARGET_PAGE_MASK);
    if (!first_byte || !last_byte) {
        /* A device: no page to keep, and pins must not wait for the BQL. */
        return;
    }
    pinned = true;
    engine_pin(distkvm->engine, page_at(first_byte), page_at(last_byte));
    qatomic_or(first_byte, 0);
    qatomic_or(last_byte, 0);
}

void distkvm_atomic_begin(CPUState *cpu)
{
    if (distkvm && node_is_formed()) {
        split_lock_take();
    }
}

void distkvm_atomic_end(CPUState *cpu)
{
    if (!distkvm || !node_is_formed()) {
        return;
    }
    hint_size = 0;
    if (pinned) {
        pinned = false;
        engine_unpin(distkvm->engine);
    }
    split_lock_release();
}
