/*
 * distkvm: guest RAM over userfaultfd
 *
 * The only file that knows userfaultfd.  Missing faults fetch a page,
 * write-protect faults upgrade a read-only copy.  A shared zero page must be
 * a copy of zeroes with write protection: UFFDIO_ZEROPAGE carries none.
 * Spec: docs/architecture.rst, "Memory".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/madvise.h"
#include "qemu/userfaultfd.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include "mem.h"
#include "accel/distkvm/trace.h"

#define MEM_BLOCKS_MAX 64
/* The kernel says EAGAIN while the address space changes; it is brief. */
#define MEM_TRIES_MAX 100000
/* Of all lanes together. */
#define STAGE_PAGES 64
/* A page is locked for a moment; then it is done without. */
#define STAGE_TRIES 100

typedef struct MemBlock {
    uint8_t *host;
    uint64_t size;
    CohPage first;
} MemBlock;

/*
 * Where a lane's pages go that leave guest RAM, and stay until it is full and
 * all are freed with one call.  To free each would cost more than to move it,
 * and every call that takes something from the guest stops all CPUs that run
 * it.
 */
typedef struct Stage {
    uint8_t *host;          /* NULL: pages cannot be moved */
    unsigned used, pages;
} Stage;

struct Mem {
    Lanes lanes;
    int fd[LANES_MAX];
    Stage stage[LANES_MAX];
    unsigned blocks;
    MemBlock block[MEM_BLOCKS_MAX];
};

static uint8_t zero_page[COH_PAGE_SIZE] QEMU_ALIGNED(COH_PAGE_SIZE);

/* For the signal handler, which gets no argument. */
static Mem *poisoned;
static bool all_poisoned;

static void stage_init(Stage *s, int fd, unsigned pages)
{
    size_t bytes = (size_t)pages << COH_PAGE_BITS;
    uint64_t ioctls = 0;
    void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (host == MAP_FAILED) {
        return;
    }
    qemu_madvise(host, bytes, QEMU_MADV_NOHUGEPAGE);
    if (uffd_register_memory(fd, host, bytes, UFFDIO_REGISTER_MODE_MISSING,
                             &ioctls) < 0 || !(ioctls & BIT(_UFFDIO_MOVE))) {
        munmap(host, bytes);
        return;
    }
    *s = (Stage) { .host = host, .pages = pages };
}

static void stage_free(Stage *s)
{
    if (s->host) {
        munmap(s->host, (size_t)s->pages << COH_PAGE_BITS);
    }
}

/*
 * Linux 6.8 can move pages, but until 6.16 a page that is on its way to swap
 * could end up as another one, or stop the kernel.
 */
static bool moves_are_safe(void)
{
    struct utsname name;
    unsigned major, minor;

    return !uname(&name) &&
           sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 16));
}

Mem *mem_uffd_new(const Lanes *lanes, Error **errp)
{
    const uint64_t need = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                          UFFD_FEATURE_THREAD_ID;
    uint64_t features = 0;
    Mem *mem;

    if (uffd_query_features(&features) < 0) {
        error_setg_errno(errp, errno, "distkvm: this host gives no userfaultfd"
                         " that traps faults of the kernel");
        error_append_hint(errp, "Give the user access to /dev/userfaultfd"
                          " (Linux 6.1 or newer; under libvirt name it in"
                          " cgroup_device_acl of qemu.conf besides).  Where no"
                          " seccomp profile forbids the system call, as those of"
                          " containers do, vm.unprivileged_userfaultfd=1 helps,"
                          " too.\n");
        return NULL;
    }
    if ((features & need) != need) {
        error_setg(errp, "distkvm: this host's userfaultfd lacks write"
                   " protection (features 0x%" PRIx64 ")", features);
        error_append_hint(errp, "Linux 5.7 or newer is needed.\n");
        return NULL;
    }
    if (!moves_are_safe()) {
        features &= ~(uint64_t)UFFD_FEATURE_MOVE;
    }
    mem = g_new0(Mem, 1);
    mem->lanes = *lanes;
    for (unsigned lane = 0; lane < lanes->n; lane++) {
        mem->fd[lane] = uffd_create_fd(need | (features & UFFD_FEATURE_MOVE),
                                       true);
        if (mem->fd[lane] < 0) {
            error_setg_errno(errp, errno, "distkvm: cannot open a userfaultfd");
            mem->lanes.n = lane;
            mem_free(mem);
            return NULL;
        }
        if (features & UFFD_FEATURE_MOVE) {
            stage_init(&mem->stage[lane], mem->fd[lane],
                       STAGE_PAGES / lanes->n);
        }
    }
    return mem;
}

void mem_free(Mem *mem)
{
    if (mem) {
        for (unsigned lane = 0; lane < mem->lanes.n; lane++) {
            uffd_close_fd(mem->fd[lane]);
            stage_free(&mem->stage[lane]);
        }
        g_free(mem);
    }
}

/* Each stretch of a lane reports its faults to that lane. */
static bool for_stretches(Mem *mem, uint8_t *host, uint64_t size,
                          CohPage first, bool (*fn)(int fd, void *host,
                                                    uint64_t size))
{
    CohPage page = first, end = first + (size >> COH_PAGE_BITS);

    while (page < end) {
        CohPage next = mem->lanes.n > 1
                       ? ((page >> mem->lanes.bits) + 1) << mem->lanes.bits
                       : end;
        uint64_t pages = MIN(next, end) - page;

        if (!fn(mem->fd[lane_of(&mem->lanes, page)],
                host + ((page - first) << COH_PAGE_BITS),
                pages << COH_PAGE_BITS)) {
            return false;
        }
        page += pages;
    }
    return true;
}

static bool register_stretch(int fd, void *host, uint64_t size)
{
    const uint64_t need = BIT(_UFFDIO_COPY) | BIT(_UFFDIO_ZEROPAGE) |
                          BIT(_UFFDIO_WAKE) | BIT(_UFFDIO_WRITEPROTECT);
    uint64_t ioctls = 0;

    return uffd_register_memory(fd, host, size,
                                UFFDIO_REGISTER_MODE_MISSING |
                                UFFDIO_REGISTER_MODE_WP, &ioctls) == 0 &&
           (ioctls & need) == need;
}

/* Wakes all that wait there, too. */
static bool unregister_stretch(int fd, void *host, uint64_t size)
{
    return uffd_unregister_memory(fd, host, size) == 0;
}

bool mem_add_block(Mem *mem, const char *name, void *host, uint64_t size,
                   CohPage first, Error **errp)
{
    if (mem->blocks == MEM_BLOCKS_MAX) {
        error_setg(errp, "distkvm: more than %d memory backends",
                   MEM_BLOCKS_MAX);
        return false;
    }
    /* After QEMU's own advice: protection goes by 4 KiB. */
    qemu_madvise(host, size, QEMU_MADV_NOHUGEPAGE);
    qemu_madvise(host, size, QEMU_MADV_UNMERGEABLE);
    if (!for_stretches(mem, host, size, first, register_stretch)) {
        error_setg(errp, "distkvm: RAM block '%s' cannot be coherent", name);
        error_append_hint(errp, "It must be private anonymous memory of"
                          " 4 KiB pages.\n");
        return false;
    }
    mem->block[mem->blocks++] = (MemBlock) {
        .host = host, .size = size, .first = first,
    };
    return true;
}

int mem_fd(Mem *mem, unsigned lane)
{
    return mem->fd[lane];
}

static MemBlock *block_of_host(Mem *mem, uintptr_t addr)
{
    for (unsigned i = 0; i < mem->blocks; i++) {
        MemBlock *b = &mem->block[i];

        if (addr - (uintptr_t)b->host < b->size) {
            return b;
        }
    }
    return NULL;
}

void *mem_host(Mem *mem, CohPage page)
{
    for (unsigned i = 0; i < mem->blocks; i++) {
        MemBlock *b = &mem->block[i];

        if (page - b->first < b->size >> COH_PAGE_BITS) {
            return b->host + ((page - b->first) << COH_PAGE_BITS);
        }
    }
    return NULL;
}

bool mem_find(Mem *mem, const void *host, uint64_t *addr)
{
    MemBlock *b = block_of_host(mem, (uintptr_t)host);

    if (b) {
        *addr = (b->first << COH_PAGE_BITS) + ((uint8_t *)host - b->host);
    }
    return b;
}

int mem_faults(Mem *mem, unsigned lane, MemFault *fault, int max)
{
    struct uffd_msg msg[16];
    int n = 0;
    ssize_t len = RETRY_ON_EINTR(read(mem->fd[lane], msg, sizeof(msg[0]) *
                                      MIN(max, ARRAY_SIZE(msg))));

    if (len < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    for (int i = 0; i < len / sizeof(msg[0]); i++) {
        uintptr_t addr = msg[i].arg.pagefault.address;
        uint64_t flags = msg[i].arg.pagefault.flags;
        MemBlock *b = block_of_host(mem, addr);

        if (msg[i].event != UFFD_EVENT_PAGEFAULT || !b) {
            continue;
        }
        fault[n++] = (MemFault) {
            .page = b->first + ((addr - (uintptr_t)b->host) >> COH_PAGE_BITS),
            .write = flags & (UFFD_PAGEFAULT_FLAG_WP |
                              UFFD_PAGEFAULT_FLAG_WRITE),
            .tid = msg[i].arg.pagefault.feat.ptid,
        };
    }
    return n;
}

static int mem_ioctl(Mem *mem, CohPage page, unsigned long request, void *arg)
{
    int fd = mem->fd[lane_of(&mem->lanes, page)];

    for (int i = 0; i < MEM_TRIES_MAX; i++) {
        if (ioctl(fd, request, arg) == 0) {
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
    }
    return -EAGAIN;
}

int mem_install(Mem *mem, CohPage page, const void *data, bool writable)
{
    uintptr_t host = (uintptr_t)mem_host(mem, page);

    if (!data && writable) {
        struct uffdio_zeropage zero = {
            .range = { .start = host, .len = COH_PAGE_SIZE },
            .mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE,
        };
        return mem_ioctl(mem, page, UFFDIO_ZEROPAGE, &zero);
    } else {
        struct uffdio_copy copy = {
            .dst = host,
            .src = (uintptr_t)(data ?: zero_page),
            .len = COH_PAGE_SIZE,
            .mode = UFFDIO_COPY_MODE_DONTWAKE |
                    (writable ? 0 : UFFDIO_COPY_MODE_WP),
        };
        return mem_ioctl(mem, page, UFFDIO_COPY, &copy);
    }
}

int mem_protect(Mem *mem, CohPage first, unsigned pages, bool writable)
{
    struct uffdio_writeprotect wp = {
        .range = { .start = (uintptr_t)mem_host(mem, first),
                   .len = (uint64_t)pages << COH_PAGE_BITS },
        .mode = writable ? UFFDIO_WRITEPROTECT_MODE_DONTWAKE
                         : UFFDIO_WRITEPROTECT_MODE_WP,
    };

    return mem_ioctl(mem, first, UFFDIO_WRITEPROTECT, &wp);
}

/*
 * Move @page out of guest RAM; where it is then, or NULL: it is where it was.
 * The kernel refuses pages that devices have pinned, among others.
 */
static const void *stage_page(Mem *mem, CohPage page)
{
    unsigned lane = lane_of(&mem->lanes, page);
    Stage *s = &mem->stage[lane];
    struct uffdio_move move = {
        .src = (uintptr_t)mem_host(mem, page), .len = COH_PAGE_SIZE,
        .mode = UFFDIO_MOVE_MODE_DONTWAKE,
    };

    if (s->used == s->pages) {
        if (!s->host || madvise(s->host, (size_t)s->pages << COH_PAGE_BITS,
                                MADV_DONTNEED)) {
            return NULL;
        }
        s->used = 0;
    }
    move.dst = (uintptr_t)s->host + ((size_t)s->used << COH_PAGE_BITS);
    for (int i = 0; ioctl(mem->fd[lane], UFFDIO_MOVE, &move); i++) {
        if (errno == EEXIST) {
            /* Somebody touched the stage: free it, next time. */
            s->used = s->pages;
        }
        if (errno != EAGAIN || i == STAGE_TRIES) {
            return NULL;
        }
    }
    s->used++;
    return (const void *)(uintptr_t)move.dst;
}

static int remove_page(Mem *mem, CohPage page)
{
    return madvise(mem_host(mem, page), COH_PAGE_SIZE, MADV_DONTNEED)
           ? -errno : 0;
}

int mem_zap(Mem *mem, CohPage page)
{
    int ret = stage_page(mem, page) ? 0 : remove_page(mem, page);

    /* A thread may sleep on a write-protect fault of the page that was. */
    mem_wake(mem, page);
    return ret;
}

int mem_take(Mem *mem, CohPage page, bool writable, void *copy)
{
    const void *taken = stage_page(mem, page);
    int ret = 0;

    if (taken) {
        memcpy(copy, taken, COH_PAGE_SIZE);
    } else {
        ret = writable ? mem_protect(mem, page, 1, false) : 0;
        if (!ret) {
            memcpy(copy, mem_host(mem, page), COH_PAGE_SIZE);
            ret = remove_page(mem, page);
        }
    }
    mem_wake(mem, page);
    return ret;
}

void mem_wake(Mem *mem, CohPage page)
{
    struct uffdio_range range = {
        .start = (uintptr_t)mem_host(mem, page),
        .len = COH_PAGE_SIZE,
    };

    mem_ioctl(mem, page, UFFDIO_WAKE, &range);
}

void mem_poison(Mem *mem, CohPage page)
{
    qatomic_set(&poisoned, mem);
    mprotect(mem_host(mem, page), COH_PAGE_SIZE, PROT_NONE);
    mem_wake(mem, page);
}

void mem_poison_all(Mem *mem)
{
    qatomic_set(&all_poisoned, true);
    qatomic_set(&poisoned, mem);
    for (unsigned i = 0; i < mem->blocks; i++) {
        MemBlock *b = &mem->block[i];

        /* In this order: nobody may read zeroes where a page was to come. */
        mprotect(b->host, b->size, PROT_NONE);
        for_stretches(mem, b->host, b->size, b->first, unregister_stretch);
    }
}

bool mem_is_poisoned(void *addr)
{
    Mem *mem = qatomic_read(&poisoned);

    return mem && block_of_host(mem, (uintptr_t)addr);
}

bool mem_unpoison(void *addr)
{
    void *page = (void *)((uintptr_t)addr & ~(uintptr_t)(COH_PAGE_SIZE - 1));

    if (qatomic_read(&all_poisoned)) {
        /* The page keeps what this node had there. */
        return !mprotect(page, COH_PAGE_SIZE, PROT_READ | PROT_WRITE);
    }
    return mmap(page, COH_PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) != MAP_FAILED;
}
