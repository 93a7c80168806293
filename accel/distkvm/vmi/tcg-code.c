/*
 * distkvm: translated code of pages that come and go
 *
 * Each RAM page has a code generation.  A translation remembers the
 * generations of its pages from before it read their bytes and is stale once
 * they moved on; each lookup compares.  Revoking a page raises its
 * generation after the page is gone and before that is acknowledged, and
 * makes vCPUs leave chained blocks.  Takes no lock: the translator may be
 * blocked in a page fault with page locks held.
 * Spec: docs/architecture.rst, "Translated code".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/code-generation.h"
#include "exec/cpu-common.h"
#include "exec/ramblock.h"
#include "hw/core/cpu.h"
#include "qemu/atomic.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/memory/ram.h"
#include "accel/distkvm/node.h"
#include "tcg-code.h"

CodeGenerations code_generations;

/* Local vCPUs leave their loop soon.  Any thread, any lock. */
static void kick_all(void *unused)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (distkvm_cpu_is_local(cpu)) {
            /* Not cpu_exit(): that sends the vCPU through the BQL. */
            qatomic_set(&cpu->neg.icount_decr.u16.high, -1);
        }
    }
}

void code_init(void)
{
    uint64_t end = distkvm_ram_addr_end();

    code_generations.pages = end >> TARGET_PAGE_BITS;
    code_generations.of = g_new0(uint32_t, code_generations.pages);
    failure_register(FAILURE_STOP_VCPUS, kick_all, NULL);
}

void code_page_revoked(CohPage page)
{
    ram_addr_t addr = distkvm_ram_addr(page);
    uint32_t *of, old;

    if (!code_generations.pages || addr == RAM_ADDR_INVALID) {
        return;
    }
    of = &code_generations.of[addr >> TARGET_PAGE_BITS];
    for (;;) {
        old = qatomic_read(of);
        /* Nothing was translated since it was last raised. */
        if (!(old & CODE_GENERATION_USED)) {
            return;
        }
        /* Worn out: stale in any case, but vCPUs must look. */
        if (old == CODE_GENERATION_NEVER ||
            qatomic_cmpxchg(of, old, code_generation_next(old)) == old) {
            break;
        }
    }
    kick_all(NULL);
}
