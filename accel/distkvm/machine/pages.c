/*
 * distkvm: query-distkvm-pages
 *
 * Sums of the engine's counters (engine/census.h): no page and no state of a
 * page is read, and the engine is not waited for.  Main loop, BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-distkvm.h"
#include "accel/distkvm/node.h"

#define CELLS_DEFAULT 4096
#define CELLS_MAX 65536

typedef struct Lists {
    intList **homes;
    uint32List **owned, **shared;
} Lists;

static void add_cell(Lists *to, uint64_t first, uint64_t stretches)
{
    EnginePages pages = engine_pages(distkvm->engine, first, stretches);

    QAPI_LIST_APPEND(to->homes, distkvm->map->home[first]);
    QAPI_LIST_APPEND(to->owned, pages.owned);
    /* A page may have become owned between the two counts. */
    QAPI_LIST_APPEND(to->shared,
                     pages.present - MIN(pages.owned, pages.present));
}

DistKVMPages *qmp_query_distkvm_pages(bool has_cells, uint32_t cells,
                                      Error **errp)
{
    uint64_t stretches, each = 1;
    DistKVMPages *pages;
    Lists lists;

    if (!distkvm || !distkvm->engine) {
        error_setg(errp, "-accel distkvm is not in use");
        return NULL;
    }
    cells = has_cells ? cells : CELLS_DEFAULT;
    if (cells < 1 || cells > CELLS_MAX) {
        error_setg(errp, "cells must be 1 to %d", CELLS_MAX);
        return NULL;
    }
    stretches = cluster_map_stretches(distkvm->map);
    while (DIV_ROUND_UP(stretches, each) > cells) {
        each *= 2;
    }
    pages = g_new0(DistKVMPages, 1);
    pages->cell_bytes = each << (distkvm->map->bits + COH_PAGE_BITS);
    pages->bytes = distkvm->map->pages << COH_PAGE_BITS;
    lists = (Lists) { &pages->homes, &pages->owned, &pages->shared };
    for (uint64_t first = 0; first < stretches; first += each) {
        add_cell(&lists, first, MIN(each, stretches - first));
    }
    return pages;
}
