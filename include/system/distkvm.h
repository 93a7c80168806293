/*
 * distkvm: one virtual machine over several hosts
 *
 * The only header that devices, migration and the patches to QEMU include.
 * Every call is a no-op (and returns false) unless -accel distkvm is in use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SYSTEM_DISTKVM_H
#define SYSTEM_DISTKVM_H

#include "exec/hwaddr.h"
#include "qapi/qapi-types-run-state.h"

/* Is -accel distkvm in use?  Constant after the machine is initialised. */
bool distkvm_enabled(void);

/*
 * Before a machine's NUMA nodes are complete: give the guest one for each node
 * of the cluster, if the user gave none.  False and @errp if mem= does not fit
 * the machine.  Main thread.
 */
bool distkvm_numa_complete(MachineState *ms, Error **errp);

/*
 * A vCPU thread is about to execute guest code under KVM: wait until this
 * node may; true if it never may again.  No locks held.
 */
bool distkvm_held_back(void);

/*
 * Can a local APIC under KVM have x2APIC mode?  And an MSR that KVM has left to
 * this process: true if it was taken care of.  The vCPU's thread, no locks held.
 */
struct kvm_run;
bool distkvm_kvm_has_x2apic(void);
bool distkvm_kvm_msr(struct kvm_run *run);

/*
 * Run state.  Main loop, BQL held.  True: the cluster takes care of it and
 * this node must do nothing now.
 */
bool distkvm_vm_start(void);
bool distkvm_reset(ShutdownCause cause);
bool distkvm_shutdown(ShutdownCause cause);
bool distkvm_powerdown(void);
/*
 * This process ends now, for @cause.  distkvm_shutdown() may have taken it for a
 * pause: a signal changes shutdown_action at any time.  Main loop.
 */
void distkvm_ends(ShutdownCause cause);
/*
 * True, with an exit status in *@status: this node could not join, and ends at
 * once.  No machine has run that could be shut down.  Main loop.
 */
bool distkvm_ends_unjoined(int *status);
/* The user says stop, perhaps before this node runs.  Main loop. */
void distkvm_stop_asked(void);
/* May the guest run or reset?  Not after a loss: false, and @errp. */
bool distkvm_may_go_on(Error **errp);
/*
 * May "cont" let the guest run?  Neither after a loss, nor, on node 0, before the
 * reset of a node that an error has stopped: false, and @errp.  Main loop.
 */
bool distkvm_may_continue(Error **errp);

/*
 * A device, backend or driver that cannot work is refused, at the start and
 * later: false, and @errp gives reason and remedy.  Main loop.
 */
struct Netdev;
bool distkvm_block_driver_fits(const char *format, Error **errp);
bool distkvm_netdev_fits(const struct Netdev *netdev, Error **errp);
bool distkvm_object_fits(Object *obj, Error **errp);

/*
 * Interrupts.  BQL held.
 * The local APIC @apic (an APICCommonState) has changed its id, logical
 * destination, spurious vector, LINT entries or base: tell all nodes.
 */
void distkvm_apic_changed(void *apic);
/* End of a level interrupt; true if its IOAPIC is on another node. */
bool distkvm_ioapic_eoi(int vector);

/* Is @cpu executed by another node? */
bool distkvm_cpu_is_remote(const CPUState *cpu);
/* The 8259's output changed; true if it is not the cluster's 8259. */
bool distkvm_pic_changed(int level);
/*
 * Of the cluster's 8259, if it is on another node (else false): its output;
 * the vector it has for the running vCPU, BQL dropped meanwhile.
 */
bool distkvm_pic_output(int *level);
bool distkvm_pic_acknowledge(int *vector);

/*
 * Misaligned LOCK.  A vCPU thread, without the BQL.  Between begin and end no
 * other node executes a misaligned LOCK.  distkvm_atomic_hint() notes the
 * address that made it necessary; distkvm_atomic_pin(), with the other vCPUs
 * of this node stopped, makes its pages this node's until the end.
 */
void distkvm_atomic_hint(uint64_t addr, int size);
void distkvm_atomic_begin(CPUState *cpu);
void distkvm_atomic_pin(CPUState *cpu);
void distkvm_atomic_end(CPUState *cpu);

/*
 * Host-asynchronous access to guest RAM (O_DIRECT, io_uring, native AIO) must
 * bounce: its pages may move while the host kernel works on them.  Any
 * thread.
 */
bool distkvm_must_bounce(void);
/*
 * A node is lost: nothing may leave this host any more.  What was copied from
 * guest RAM before this was false is as the guest wrote it.  Any thread.
 */
bool distkvm_fenced(void);

/*
 * A buffer to bounce by, from a few that are kept: @bytes bytes with any
 * contents, aligned to 4 KiB; NULL: the host has no memory.  Once for each
 * @bounce, which was zero.  Any thread, any lock; never waits.
 */
typedef struct DistkvmBounce {
    void *buffer;
    size_t bytes;
} DistkvmBounce;

void *distkvm_bounce(DistkvmBounce *bounce, size_t bytes);
void distkvm_bounce_free(DistkvmBounce *bounce);

/* Of g_auto(DistkvmBounce). */
static inline void distkvm_bounce_end(DistkvmBounce *bounce)
{
    if (unlikely(bounce->buffer)) {
        distkvm_bounce_free(bounce);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DistkvmBounce, distkvm_bounce_end)

#endif
