/*
 * distkvm: copies between coherent memory and buffers, and their counts
 *
 * Spec: include/system/distkvm-dma.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/stats64.h"
#include "system/distkvm-dma.h"
#include "accel/distkvm/node.h"
#include "copy.h"

static struct {
    Stat64 spans, bytes;
} counts[COPY__MAX];

void copy_counts(CopyCounts *to)
{
    for (unsigned kind = 0; kind < COPY__MAX; kind++) {
        to->spans[kind] = stat64_get(&counts[kind].spans);
        to->bytes[kind] = stat64_get(&counts[kind].bytes);
    }
}

DistkvmDmaPolicy distkvm_dma_policy(void)
{
    return distkvm->dma_policy;
}

bool distkvm_ram_at(const void *host, uint64_t *addr)
{
    return engine_find(distkvm->engine, host, addr);
}

bool distkvm_has_all_cpus(void)
{
    const CpuPlaces *cpus = &distkvm->cpus;

    return cpu_places_count(cpus, distkvm->id) == cpus->cpus;
}

DistkvmPageState distkvm_page_state(uint64_t addr)
{
    CohPage page = addr >> COH_PAGE_BITS;

    if (engine_has(distkvm->engine, page, true)) {
        return DISTKVM_PAGE_OWNED;
    }
    return engine_has(distkvm->engine, page, false) ? DISTKVM_PAGE_SHARED
                                                    : DISTKVM_PAGE_ABSENT;
}

/* False if a copy could meet itself: @span's buffer is in coherent RAM. */
static bool is_private(const DistkvmSpan *span)
{
    const uint8_t *last = (uint8_t *)span->buffer + span->length - 1;
    uint64_t unused;

    return !distkvm_ram_at(span->buffer, &unused) &&
           !distkvm_ram_at(last, &unused);
}

static bool is_valid(const DistkvmSpan *span, bool put)
{
    return is_private(span) &&
           (span->way != DISTKVM_COPY_FILL ||
            (put && span->length == COH_PAGE_SIZE &&
             span->addr % COH_PAGE_SIZE == 0));
}

/*
 * An engine fills a page before this thread copies anything.  A page that an
 * earlier span names is therefore not filled: the last bytes of a list win.
 */
static DistkvmCopyWay way_of(const DistkvmSpan *span, unsigned i)
{
    if (span[i].way == DISTKVM_COPY_FILL) {
        for (unsigned j = 0; j < i; j++) {
            if ((span[j].way == DISTKVM_COPY_HERE ||
                 span[j].way == DISTKVM_COPY_MOVE) &&
                span[j].addr / COH_PAGE_SIZE == span[i].addr / COH_PAGE_SIZE) {
                return DISTKVM_COPY_MOVE;
            }
        }
    }
    return span[i].way;
}

/* The spans that need an engine, in @to; how many, or -EINVAL. */
static int choose(const DistkvmSpan *span, unsigned n, bool put,
                  EngineSpan *to)
{
    unsigned chosen = 0;

    for (unsigned i = 0; i < n; i++) {
        DistkvmCopyWay way = way_of(span, i);

        if (!is_valid(&span[i], put)) {
            return -EINVAL;
        }
        if (way != DISTKVM_COPY_HERE) {
            to[chosen++] = (EngineSpan) {
                .page = span[i].addr >> COH_PAGE_BITS,
                .offset = span[i].addr % COH_PAGE_SIZE,
                .length = span[i].length,
                .move = way == DISTKVM_COPY_MOVE,
                .fill = way == DISTKVM_COPY_FILL,
                .stays = span[i].stays, .buffer = span[i].buffer,
            };
        }
    }
    return chosen;
}

static void copy_here(const DistkvmSpan *span, bool put)
{
    uint8_t *host = (uint8_t *)engine_host(distkvm->engine,
                                           span->addr >> COH_PAGE_BITS) +
                    span->addr % COH_PAGE_SIZE;

    if (put) {
        memcpy(host, span->buffer, span->length);
    } else {
        memcpy(span->buffer, host, span->length);
    }
}

static void count(CopyKind kind, uint32_t length)
{
    stat64_add(&counts[kind].spans, 1);
    stat64_add(&counts[kind].bytes, length);
}

/* The @n spans that an engine has served. */
static void count_engine(const EngineSpan *chosen, int n, bool put)
{
    for (int i = 0; i < n; i++) {
        count(chosen[i].filled ? COPY_FILLED :
              chosen[i].came ? COPY_MOVED :
              put ? COPY_PUT : COPY_GOT, chosen[i].length);
    }
}

int distkvm_copy(const DistkvmSpan *span, unsigned n, bool put)
{
    g_autofree EngineSpan *chosen = g_new0(EngineSpan, n);
    int n_chosen, ret;

    if (!distkvm || !distkvm->engine || !node_is_formed()) {
        return -ENOTCONN;
    }
    n_chosen = choose(span, n, put, chosen);
    if (n_chosen < 0) {
        return n_chosen;
    }
    ret = n_chosen ? engine_copy(distkvm->engine, chosen, n_chosen, put) : 0;
    /* An owner that knows of a reset says nothing about other pages. */
    if (ret && ret != -ECANCELED) {
        return ret;
    }
    count_engine(chosen, n_chosen, put);
    for (unsigned i = 0; i < n; i++) {
        DistkvmCopyWay way = way_of(span, i);

        if (way == DISTKVM_COPY_HERE || way == DISTKVM_COPY_MOVE) {
            copy_here(&span[i], put);
        }
        if (way == DISTKVM_COPY_HERE) {
            count(COPY_LOCAL, span[i].length);
        }
    }
    return ret;
}
