/*
 * distkvm: interrupts that move to another node do not overtake older ones
 *
 * Interrupts of a device leave as frames, one link for each node.  When a guest
 * moves a vector from one node to another, the first interrupt at the new node
 * tells the guest that the old one is idle, and the guest frees it; so an older
 * frame to the old node must have been served by then.  The same holds when a
 * guest masks a vector, and a read of the device's registers comes back.
 *
 * The fence counts frames of interrupts for each peer, and asks a peer for an
 * answer when it has served a number of them.  A vector whose target changes is
 * held until the old node's answer.  Nobody waits: the answer sends it on.
 * After PCI's rule that reads push older messages ahead of them, and the
 * markers of Chandy and Lamport (1985).
 *
 * Pure: no lock; machine/irq-fence.c has the BQL around it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FENCE_H
#define DISTKVM_FENCE_H

#include "accel/distkvm/core/coh-types.h"

typedef struct Fence Fence;
typedef struct FenceVector FenceVector;

/* A message-signalled interrupt. */
typedef struct FenceMessage {
    uint64_t addr;
    uint32_t data;
    /* The same as its target sees it: behind the remapping of interrupts. */
    uint64_t target_addr;
    uint32_t target_data;
    uint32_t epoch;             /* resets of the guest before it            */
} FenceMessage;

/* The node around the fence.  None of them calls the fence, but for @deliver. */
typedef struct FenceOps {
    /* Have @to answer when it has served @count frames of this node. */
    void (*ask)(CohNodeId to, uint64_t count);
    /* Tell @to that @count of its frames have been served. */
    void (*answer)(CohNodeId to, uint64_t count);
    /*
     * Send @message, which was held; it calls fence_vector_left(), and may clear
     * any vector, this one too.
     */
    void (*deliver)(FenceVector *v, const FenceMessage *message);
} FenceOps;

/* One vector of one device.  All zero at first, but for @owner. */
struct FenceVector {
    FenceMessage now;           /* the last one                             */
    CohNodeSet to;              /* nodes that got frames under @now         */
    GQueue held;                /* the oldest first                         */
    void *owner;                /* the caller's                             */
};

/*
 * Which vector sends such a message, if an IOMMU remaps it: the entry that it
 * names in the guest's table, below 65,536.  -1: it is not in that format.
 * Intel's VT-d, "Interrupt Requests in Remappable Format".
 */
int fence_remapped_vector(uint64_t addr, uint32_t data);

/* @ops is static.  Lives as long as the process. */
Fence *fence_new(const FenceOps *ops);

/* A frame leaves for @to, or is served that came from @from. */
void fence_sent(Fence *f, CohNodeId to);
void fence_served(Fence *f, CohNodeId from);
/* How many so far. */
uint64_t fence_count_sent(const Fence *f, CohNodeId to);
uint64_t fence_count_served(const Fence *f, CohNodeId from);

/* @from wants an answer; now, or later in fence_served(). */
void fence_asked(Fence *f, CohNodeId from, uint64_t count);
/* @from answers.  NULL, or the fault in it, to go on after "it sent ". */
const char *fence_answered(Fence *f, CohNodeId from, uint64_t count);

/* Does @from owe an answer? */
bool fence_is_owed(const Fence *f, CohNodeId from);

/*
 * Run @fn(@opaque) when all frames that were sent so far to @nodes have been
 * served: at once, or in fence_answered().
 */
void fence_then(Fence *f, const CohNodeSet *nodes, void (*fn)(void *opaque),
                void *opaque);

/*
 * May @v send @message now?  If not, it is kept, and given to deliver() later:
 * in the order of calls, and equal ones in a row once, as a local APIC takes
 * them.
 */
bool fence_vector_may_send(Fence *f, FenceVector *v,
                           const FenceMessage *message);
/*
 * Call @fn(@opaque, @v) when all messages that @v holds now have left, or @v is
 * cleared.  False: it holds none, and @fn is not called.  @fn does not call the
 * fence about @v.
 */
bool fence_vector_then(FenceVector *v,
                       void (*fn)(void *opaque, const FenceVector *v),
                       void *opaque);
/* A frame of @v leaves for @to; fence_sent() is called besides. */
void fence_vector_left(FenceVector *v, CohNodeId to);
/*
 * Does @v hold nothing, and are all of its frames known to have been served?
 * Then a vector that is all zero does the same in its place.
 */
bool fence_vector_is_idle(const Fence *f, const FenceVector *v);
/* @v ends, and all that it holds: the fence does not name it any more. */
void fence_vector_clear(Fence *f, FenceVector *v);

#endif
