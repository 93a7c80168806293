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
#include "accel/distkvm/node.h"
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

static gint by_name(gconstpointer a, gconstpointer b)
{
    const CoherentBlock *x = a, *y = b;

    return strcmp(qemu_ram_get_idstr(x->rb), qemu_ram_get_idstr(y->rb));
}

uint64_t distkvm_ram_bytes(void)
{
    CohPage pages = 0;

    if (!blocks) {
        blocks = g_array_new(false, true, sizeof(CoherentBlock));
        qemu_ram_foreach_block(collect, NULL);
        g_array_sort(blocks, by_name);
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

static bool add_blocks(Mem *mem, Error **errp)
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

static void frame_in_engine(void *opaque, const WireFrame *frame)
{
    switch (frame->type) {
    case WIRE_IRQ:
    case WIRE_EOI:
        irq_frame(frame);
        break;
    case WIRE_IO:
    case WIRE_IO_REPLY:
        io_frame(frame);
        break;
    case WIRE_TOKEN:
        token_frame(frame);
        break;
    }
}

static void peer_lost_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_expel(peer, why);
}

static void closed_in_engine(void *opaque, CohNodeId peer, const char *why)
{
    member_closed(peer, why);
}

static void revoked_in_engine(void *opaque, CohPage page)
{
    code_page_revoked(page);
}

/* Whose thread it is, or NULL.  No CPU comes or goes while the engine runs. */
static CPUState *local_cpu(uint32_t tid)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->thread_id == tid) {
            return distkvm_cpu_is_local(cpu) ? cpu : NULL;
        }
    }
    return NULL;
}

static bool is_idle_in_engine(void *opaque, uint32_t tid)
{
    CPUState *cpu = local_cpu(tid);

    return cpu && qatomic_read(&cpu->halted);
}

/*
 * vCPUs alone: QEMU has its main loop create threads for them, since they may
 * be bound to CPUs by whoever runs the machine.
 */
static bool may_bind_in_engine(void *opaque, uint32_t tid)
{
    return local_cpu(tid);
}

static void broken_in_engine(void *opaque, const char *why)
{
    member_expel(distkvm->id, why);
}

static const EngineListener engine_listener = {
    .frame = frame_in_engine,
    .lost = peer_lost_in_engine,
    .closed = closed_in_engine,
    .revoked = revoked_in_engine,
    .is_idle = is_idle_in_engine,
    .may_bind = may_bind_in_engine,
    .broken = broken_in_engine,
};

bool distkvm_ram_start(Error **errp)
{
    Mem *mem = mem_uffd_new(&distkvm->engine_config.lanes, errp);

    if (!mem) {
        return false;
    }
    if (!add_blocks(mem, errp)) {
        mem_free(mem);
        return false;
    }
    distkvm->engine_config.id = distkvm->id;
    distkvm->engine_config.map = distkvm->map;
    distkvm->engine = engine_new(&distkvm->engine_config, mem,
                                 transport_stream_new, &engine_listener, NULL,
                                 errp);
    if (!distkvm->engine) {
        return false;
    }
    engine_start(distkvm->engine);
    return distkvm_start_transport(distkvm, errp);
}
