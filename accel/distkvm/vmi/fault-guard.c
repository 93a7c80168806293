/*
 * distkvm: accesses to pages that are lost with their node
 *
 * After a loss such a page is out of reach: a system call on it fails with
 * EFAULT, so no invented byte reaches an image.  A vCPU leaves its execution
 * loop instead of completing the instruction.  A device model in the middle
 * of a copy gets zeroes, behind fenced backends.  Async-signal-safe.
 * Spec: docs/architecture.rst, "Loss of a node".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "hw/core/cpu.h"
#include "qemu/main-loop.h"
#include "system/tcg.h"
#include "accel/distkvm/node.h"
#include "fault-guard.h"
#include "lease.h"

#define INSTRUCTION_MAX 16

static struct sigaction previous;

/* Out of the loop, and stopped for good by failure_raise(). */
static void leave_guest(CPUState *cpu)
{
    cpu->exception_index = EXCP_INTERRUPT;
    siglongjmp(cpu->jmp_env, 1);
}

static void on_sigsegv(int sig, siginfo_t *info, void *context)
{
    uintptr_t pc = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    CPUState *cpu = current_cpu;
    bool leave = false;

    /* An instruction may begin on one page and fault on the next. */
    if ((uintptr_t)info->si_addr - pc < INSTRUCTION_MAX &&
        lease_fault(pc, &leave)) {
        if (leave) {
            leave_guest(cpu);
        }
        return;
    }
    if (mem_is_poisoned(info->si_addr)) {
        if (tcg_enabled() && cpu && distkvm_cpu_is_local(cpu) &&
            cpu->running && !bql_locked()) {
            leave_guest(cpu);
        }
        if (mem_unpoison(info->si_addr)) {
            return;
        }
    }
    /* Not ours: fault again, as if this handler had never been here. */
    sigaction(SIGSEGV, &previous, NULL);
}

void fault_guard_init(void)
{
    struct sigaction action = {
        .sa_sigaction = on_sigsegv,
        /* The handler may leave by siglongjmp(), which restores no mask. */
        .sa_flags = SA_SIGINFO | SA_NODEFER,
    };

    sigaction(SIGSEGV, &action, &previous);
}
