/*
 * A lane without a cluster, for tests of its parts
 *
 * Three nodes with one stretch of FAKE_SLICE pages each; this is node 1, and
 * has one lane of one.  What a part does to the world is written down in
 * order, in words, and compared by fake_did().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LANE_FAKE_H
#define LANE_FAKE_H

#include "accel/distkvm/engine/lane-ctx.h"

#define FAKE_NODES 3
#define FAKE_SELF 1
#define FAKE_BITS 6
#define FAKE_SLICE (1 << FAKE_BITS)
#define FAKE_PAGES (FAKE_NODES * FAKE_SLICE)
/* A page whose home is this node, and others whose home is node 0, node 2. */
#define FAKE_OWN (FAKE_SELF * FAKE_SLICE)
#define FAKE_FAR 3
#define FAKE_FAR2 (2 * FAKE_SLICE + 5)

typedef struct Fake {
    LaneCtx ctx;
    EngineConfig config;
    EngineListener host;
    CohNode node;
    CohPeer peer[FAKE_PAGES];
    CohHome home[FAKE_SLICE];
    CohHome *index[FAKE_NODES];
    ClusterMap *map;
    int64_t now_ns;             /* get_clock(), host_boottime_ns()          */
    int64_t guest_ns;           /* cluster_clock_ns()                       */
    int mem_result;             /* of mem_install() and the like            */
    uint32_t idle_tid;          /* of the vCPU that is halted               */
    uint8_t ram[FAKE_PAGES][COH_PAGE_SIZE];
    GString *did;
} Fake;

extern Fake fake;

/* Everything anew, before each test. */
void fake_init(void);
/* This happened. */
void fake_do(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* The events that were submitted happen, as words. */
void fake_events(void);
/* Since the last time, exactly this happened: "one; two". */
#define fake_did(wanted) do {                           \
    g_assert_cmpstr(fake.did->str, ==, wanted);         \
    g_string_truncate(fake.did, 0);                     \
} while (0)
/* Page @page is in CohPeerState @state on this node. */
void fake_state(CohPage page, uint8_t state);
/* An event of @type by @from for @page. */
CohEvent fake_event(uint8_t type, CohNodeId from, CohPage page);

#endif
