/*
 * distkvm: DMA of a cluster's devices, as QEMU's files call it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "qemu/notify.h"
#include "system/distkvm.h"
#include "system/distkvm-dma.h"
#include "system/system.h"
#include "vdma-policy.h"
#include "vdma-pool.h"
#include "vdma-span.h"

/* Pieces that are under way together: 1 MiB of whole pages. */
#define SPANS_MAX 256

/* Of the whole process, from its beginning to its end. */
static VdmaPool pool;

/* ------------------------------------------------------- bounce buffers */

void *distkvm_bounce(DistkvmBounce *bounce, size_t bytes)
{
    bounce->buffer = vdma_pool_get(&pool, bytes);
    bounce->bytes = bytes;
    return bounce->buffer;
}

void distkvm_bounce_free(DistkvmBounce *bounce)
{
    vdma_pool_put(&pool, bounce->buffer, bounce->bytes);
}

static void __attribute__((constructor)) vdma_init(void)
{
    vdma_pool_init(&pool);
}

/* ---------------------------------------------------------------- copies */

/* The nodes of other vCPUs are not known for a transfer, if there are any. */
static VdmaConsumer find_consumer(void)
{
    return distkvm_has_all_cpus() ? VDMA_CONSUMER_HERE
                                  : VDMA_CONSUMER_UNKNOWN;
}

/* How to copy @span, but for @stays; false: it is not in coherent RAM. */
static bool choose(const VdmaSpan *span, bool put, VdmaConsumer consumer,
                   DistkvmSpan *chosen)
{
    VdmaCase c = {
        .put = put, .whole = vdma_span_is_page(span), .consumer = consumer,
    };

    if (!distkvm_ram_at(span->guest, &chosen->addr)) {
        return false;
    }
    c.state = distkvm_page_state(chosen->addr);
    chosen->length = span->length;
    chosen->buffer = span->buffer;
    chosen->way = vdma_policy(distkvm_dma_policy(), &c);
    return true;
}

static void copy_private(const VdmaSpan *span, bool put)
{
    if (put) {
        memcpy(span->guest, span->buffer, span->length);
    } else {
        memcpy(span->buffer, span->guest, span->length);
    }
}

/* False: at least one span was not copied.  @pooled: the pool's buffer or NULL */
static bool copy(const VdmaSpan *span, unsigned n, bool put, void *pooled)
{
    DistkvmSpan chosen[SPANS_MAX];
    VdmaConsumer consumer = find_consumer();
    unsigned coherent = 0;
    int ret;

    for (unsigned i = 0; i < n; i++) {
        if (choose(&span[i], put, consumer, &chosen[coherent])) {
            chosen[coherent++].stays = pooled;
        } else {
            copy_private(&span[i], put);
        }
    }
    ret = coherent ? distkvm_copy(chosen, coherent, put) : 0;
    if (ret == -EIO && pooled) {
        vdma_pool_leave(&pool, pooled);
    }
    return !ret || ret == -ECANCELED;
}

/* Is any of it guest memory?  Elements do not reach over the end of a block. */
static bool is_coherent(const struct iovec *iov, unsigned iov_cnt)
{
    uint64_t unused;

    for (unsigned i = 0; i < iov_cnt; i++) {
        if (distkvm_ram_at(iov[i].iov_base, &unused)) {
            return true;
        }
    }
    return false;
}

/*
 * If it returns false, the caller's own copy meets page faults, which say what
 * they must after a loss, and serve a model that copies guest memory onto
 * itself.
 */
static bool vdma_copy(const struct iovec *iov, unsigned iov_cnt,
                      size_t offset, void *buf, size_t bytes, bool put,
                      size_t *done)
{
    VdmaSpan span[SPANS_MAX];
    uint64_t unused;
    VdmaWalk walk;
    unsigned n = 0;
    void *pooled;

    if (distkvm_ram_at(buf, &unused) || !is_coherent(iov, iov_cnt)) {
        return false;
    }
    pooled = vdma_pool_has(&pool, buf) ? buf : NULL;
    vdma_walk_init(&walk, iov, iov_cnt, offset, buf, bytes);
    while (vdma_walk_next(&walk, &span[n])) {
        if (++n == SPANS_MAX) {
            if (!copy(span, n, put, pooled)) {
                return false;
            }
            n = 0;
        }
    }
    *done = walk.done;
    return copy(span, n, put, pooled);
}

static void machine_done(Notifier *notifier, void *unused)
{
    if (distkvm_enabled() && distkvm_dma_policy() != DISTKVM_DMA_FAULTS) {
        distkvm_copy_hook = vdma_copy;
    }
}

static void vdma_register(void)
{
    static Notifier notifier = { .notify = machine_done };

    qemu_add_machine_init_done_notifier(&notifier);
}

type_init(vdma_register)
