/*
 * distkvm: where bytes and pages meet
 *
 * A page that comes here for a copy leaves the node that uses it, and is wanted
 * back; bytes that visit a page leave it where it is.  Moving pays only if the
 * next use is here.  A whole page that comes to be overwritten need not bring the
 * bytes that it had.  The choice is free: any of them is correct.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VDMA_POLICY_H
#define VDMA_POLICY_H

#include "system/distkvm-dma.h"

/* The node whose CPU is the next to use the bytes. */
typedef enum VdmaConsumer {
    VDMA_CONSUMER_UNKNOWN,  /* as if the page's owner were it               */
    VDMA_CONSUMER_HERE,
    VDMA_CONSUMER_AWAY,
    VDMA_CONSUMER__MAX
} VdmaConsumer;

typedef struct VdmaCase {
    bool put;               /* device to memory                             */
    bool whole;             /* of a page                                    */
    DistkvmPageState state;
    VdmaConsumer consumer;
} VdmaCase;

DistkvmCopyWay vdma_policy(DistkvmDmaPolicy policy, const VdmaCase *c);

#endif
