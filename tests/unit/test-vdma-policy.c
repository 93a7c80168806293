/*
 * Where bytes and pages meet
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vdma-cluster/vdma-policy.h"

#define PUT true
#define GET false
#define WHOLE true
#define PART false
#define ABSENT DISTKVM_PAGE_ABSENT
#define SHARED DISTKVM_PAGE_SHARED
#define OWNED DISTKVM_PAGE_OWNED
#define UNKNOWN VDMA_CONSUMER_UNKNOWN
#define AT_HAND VDMA_CONSUMER_HERE
#define AWAY VDMA_CONSUMER_AWAY
#define HERE DISTKVM_COPY_HERE
#define VISIT DISTKVM_COPY_VISIT
#define MOVE DISTKVM_COPY_MOVE
#define FILL DISTKVM_COPY_FILL

static const struct {
    VdmaCase c;
    DistkvmCopyWay wanted[DISTKVM_DMA__MAX];    /* auto, visit, move, faults */
} rows[] = {
    { { PUT, PART, OWNED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { PUT, WHOLE, OWNED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { PUT, PART, OWNED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { PUT, WHOLE, OWNED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { PUT, PART, OWNED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { PUT, WHOLE, OWNED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { PUT, PART, SHARED, UNKNOWN }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, SHARED, UNKNOWN }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, PART, SHARED, AT_HAND }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, SHARED, AT_HAND }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, PART, SHARED, AWAY }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, SHARED, AWAY }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, PART, ABSENT, UNKNOWN }, { VISIT, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, ABSENT, UNKNOWN }, { VISIT, VISIT, FILL, HERE } },
    { { PUT, PART, ABSENT, AT_HAND }, { MOVE, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, ABSENT, AT_HAND }, { FILL, VISIT, FILL, HERE } },
    { { PUT, PART, ABSENT, AWAY }, { VISIT, VISIT, MOVE, HERE } },
    { { PUT, WHOLE, ABSENT, AWAY }, { VISIT, VISIT, FILL, HERE } },
    { { GET, PART, OWNED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, OWNED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, OWNED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, OWNED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, OWNED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, OWNED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, SHARED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, SHARED, UNKNOWN }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, SHARED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, SHARED, AT_HAND }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, SHARED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { GET, WHOLE, SHARED, AWAY }, { HERE, HERE, HERE, HERE } },
    { { GET, PART, ABSENT, UNKNOWN }, { VISIT, VISIT, MOVE, HERE } },
    { { GET, WHOLE, ABSENT, UNKNOWN }, { VISIT, VISIT, MOVE, HERE } },
    { { GET, PART, ABSENT, AT_HAND }, { VISIT, VISIT, MOVE, HERE } },
    { { GET, WHOLE, ABSENT, AT_HAND }, { VISIT, VISIT, MOVE, HERE } },
    { { GET, PART, ABSENT, AWAY }, { VISIT, VISIT, MOVE, HERE } },
    { { GET, WHOLE, ABSENT, AWAY }, { VISIT, VISIT, MOVE, HERE } },
};

static void test_table(void)
{
    G_STATIC_ASSERT(G_N_ELEMENTS(rows) ==
                    2 * 2 * 3 * VDMA_CONSUMER__MAX);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned policy = 0; policy < DISTKVM_DMA__MAX; policy++) {
            g_assert_cmpint(vdma_policy(policy, &rows[i].c), ==,
                            rows[i].wanted[policy]);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vdma-policy/table", test_table);
    return g_test_run();
}
