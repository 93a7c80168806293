/*
 * distkvm: which RAM is coherent
 *
 * Main thread, BQL held, while the machine is being initialised.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "system/hostmem.h"
#include "ram.h"

typedef struct CoherentBlock {
    RAMBlock *rb;
    CohPage first;
    uint64_t pages;
} CoherentBlock;

static GArray *blocks;

bool distkvm_ram_is_coherent(const MemoryRegion *mr)
{
    Object *owner = memory_region_owner((MemoryRegion *)mr);

    return mr->ram_block && owner &&
           object_dynamic_cast(owner, TYPE_MEMORY_BACKEND);
}

static int collect(RAMBlock *rb, void *unused)
{
    CoherentBlock b = {
        .rb = rb,
        .pages = qemu_ram_get_used_length(rb) >> COH_PAGE_BITS,
    };

    if (distkvm_ram_is_coherent(rb->mr)) {
        g_array_append_val(blocks, b);
    }
    return 0;
}

/* Where the machine's RAM begins to be this backend's; 0 if it is all of it. */
static hwaddr offset_in_ram(const CoherentBlock *b)
{
    return b->rb->mr->container ? b->rb->mr->addr : 0;
}

/* NUMA nodes lie in RAM in their order; names of backends need not. */
static gint by_address(gconstpointer a, gconstpointer b)
{
    const CoherentBlock *x = a, *y = b;
    hwaddr at = offset_in_ram(x), other = offset_in_ram(y);

    if (at != other) {
        return at < other ? -1 : 1;
    }
    return strcmp(qemu_ram_get_idstr(x->rb), qemu_ram_get_idstr(y->rb));
}

uint64_t distkvm_ram_bytes(void)
{
    CohPage pages = 0;

    if (!blocks) {
        blocks = g_array_new(false, true, sizeof(CoherentBlock));
        qemu_ram_foreach_block(collect, NULL);
        g_array_sort(blocks, by_address);
        for (guint i = 0; i < blocks->len; i++) {
            CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);

            b->first = pages;
            pages += b->pages;
        }
    } else if (blocks->len) {
        CoherentBlock *b = &g_array_index(blocks, CoherentBlock,
                                          blocks->len - 1);

        pages = b->first + b->pages;
    }
    return pages << COH_PAGE_BITS;
}

char *distkvm_ram_text(void)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < blocks->len; i++) {
        const CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);

        g_string_append_printf(text, "%s%s", i ? ", " : "",
                               qemu_ram_get_idstr(b->rb));
        /* Of one alone it is the RAM size, which is a fact of its own. */
        if (blocks->len > 1) {
            g_string_append_printf(text, "=%" PRIu64,
                                   b->pages << COH_PAGE_BITS);
        }
    }
    return g_string_free(text, false);
}

ram_addr_t distkvm_ram_addr(CohPage page)
{
    for (guint i = 0; i < blocks->len; i++) {
        CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);

        if (page - b->first < b->pages) {
            return qemu_ram_get_offset(b->rb) +
                   ((page - b->first) << COH_PAGE_BITS);
        }
    }
    return RAM_ADDR_INVALID;
}

CohPage distkvm_ram_page(const MemoryRegion *mr, hwaddr offset)
{
    for (guint i = 0; i < blocks->len; i++) {
        const CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);

        if (b->rb == mr->ram_block) {
            return b->first + (offset >> COH_PAGE_BITS);
        }
    }
    g_assert_not_reached();
}

ram_addr_t distkvm_ram_addr_end(void)
{
    ram_addr_t end = 0;

    for (guint i = 0; i < blocks->len; i++) {
        CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);

        end = MAX(end, qemu_ram_get_offset(b->rb) +
                  (b->pages << COH_PAGE_BITS));
    }
    return end;
}

bool distkvm_ram_add_to(Mem *mem, Error **errp)
{
    for (guint i = 0; i < blocks->len; i++) {
        CoherentBlock *b = &g_array_index(blocks, CoherentBlock, i);
        const char *name = qemu_ram_get_idstr(b->rb);

        if (qemu_ram_is_shared(b->rb) || qemu_ram_get_fd(b->rb) >= 0 ||
            qemu_ram_pagesize(b->rb) != COH_PAGE_SIZE) {
            error_setg(errp, "distkvm: memory backend '%s' is shared, from a"
                       " file, or of huge pages", name);
            error_append_hint(errp, "Use memory-backend-ram with"
                              " share=off.\n");
            return false;
        }
        if (!mem_add_block(mem, name, qemu_ram_get_host_addr(b->rb),
                           b->pages << COH_PAGE_BITS, b->first, errp)) {
            return false;
        }
    }
    return true;
}
