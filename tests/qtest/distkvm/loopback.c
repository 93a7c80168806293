/*
 * loopback: one process that stands for all nodes, to test services
 *
 * A frame that is posted for another node is packed, read, held against the
 * rules as that node would, and served at once by this process's services; so
 * is what they post meanwhile.  An expulsion is a loss, as in a cluster.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/machine/rpc.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/rules.h"
#include "loopback.h"

__thread CPUState *current_cpu;

/* The node that speaks just now. */
static CohNodeId speaker = 1;

static void run(void (*fn)(void *opaque), void *opaque)
{
    fn(opaque);
}

static void expel(CohNodeId peer, const char *why)
{
    printf("# node %u is expelled: %s\n", peer, why);
    failure_raise(why);
}

static const DispatchHost host = { .queue = run, .expel = expel };

void engine_post(Engine *e, CohNodeId to, const WireFrame *frame)
{
    uint8_t bytes[WIRE_FRAME_MAX];
    WireFrame sent = *frame, got;
    CohNodeId from = speaker;
    const char *why;
    size_t len;

    sent.from = from;
    len = wire_encode(&sent, bytes);
    memcpy(bytes + len, sent.payload ?: bytes, sent.len);
    if (!wire_decode(bytes, len + sent.len, &got)) {
        expel(from, "it sent a frame that cannot be read");
        return;
    }
    why = rules_frame(&got, to, PHASE_FORMED);
    if (why) {
        expel(from, why);
        return;
    }
    speaker = to;
    dispatch_frame(&got);
    speaker = from;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    distkvm = g_new0(DistKVM, 1);
    distkvm->id = speaker;
    distkvm->nodes = 3;
    distkvm->vmi = DISTKVM_VMI_QTEST;
    node_set_formed(true);
    dispatch_start(&host);
    failure_init();
    rpc_init();
    g_test_add_func("/loopback", loopback_test);
    return g_test_run();
}
