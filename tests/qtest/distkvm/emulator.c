/*
 * distkvm-emulator: the smallest client of coherent memory
 *
 * Its "CPU" executes commands from standard input, one a line, against memory
 * that it shares with its like; each answers with one line.  It joins with
 * INIT and uses the calls of distkvm-memory.h, nothing else; the probe for
 * "bench memory" touches the memory itself.
 *
 *   distkvm-emulator NODE PEERS BYTES [OPTION=VALUE]...
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "system/distkvm-memory.h"
#include "probe.h"

#define PAGE 4096
#define ARGS_MAX 8

static uint8_t *memory;

typedef struct Command {
    const char *name, *usage;
    int args;
    int (*run)(char **arg);
} Command;

static uint64_t number(const char *text)
{
    return g_ascii_strtoull(text, NULL, 0);
}

static DistkvmRw read_or_write(const char *text)
{
    return *text == 'w' ? DISTKVM_WRITE : DISTKVM_READ;
}

static int answer(int ret, uint64_t value)
{
    if (!ret) {
        printf("ok 0x%" PRIx64 "\n", value);
    }
    return ret;
}

static int run_load(char **arg)
{
    uint64_t value = 0;
    int ret = distkvm_mem_access(number(arg[0]), DISTKVM_READ, &value,
                                 number(arg[1]));

    return answer(ret, value);
}

static int run_store(char **arg)
{
    uint64_t value = number(arg[2]);

    return answer(distkvm_mem_access(number(arg[0]), DISTKVM_WRITE, &value,
                                     number(arg[1])), value);
}

static int run_get(char **arg)
{
    uint64_t value = 0;
    size_t size = number(arg[1]);
    int ret = size > sizeof(value) ? -EINVAL
              : distkvm_get_page(number(arg[0]), DISTKVM_READ, &value, size,
                                 DISTKVM_OP_NONE);

    return answer(ret, value);
}

static int run_put(char **arg)
{
    uint64_t value = number(arg[2]);

    if (number(arg[1]) > sizeof(value)) {
        return -EINVAL;
    }
    return answer(distkvm_get_page(number(arg[0]), DISTKVM_WRITE, &value,
                                   number(arg[1]), DISTKVM_OP_NONE), value);
}

/* A whole page of one byte, or the sum of its bytes. */
static int run_fill(char **arg)
{
    uint8_t page[PAGE];

    memset(page, number(arg[1]), PAGE);
    return answer(distkvm_get_page(number(arg[0]), DISTKVM_WRITE, page, PAGE,
                                   DISTKVM_OP_NONE), 0);
}

static int run_sum(char **arg)
{
    uint8_t page[PAGE];
    uint64_t sum = 0;
    int ret = distkvm_get_page(number(arg[0]), DISTKVM_READ, page, PAGE,
                               DISTKVM_OP_NONE);

    for (int i = 0; !ret && i < PAGE; i++) {
        sum += page[i];
    }
    return answer(ret, sum);
}

/* Do an operation so many times; the last old value. */
static int run_rmw(char **arg)
{
    static const char *const names[] = {
        "none", "increment", "decrement", "exchange", "test-and-set",
        "compare-swap",
    };
    size_t size = number(arg[2]);
    unsigned op = 0;
    uint8_t buffer[16];
    uint64_t value = 0;
    int ret = 0;

    while (op < G_N_ELEMENTS(names) && strcmp(names[op], arg[0])) {
        op++;
    }
    for (uint64_t n = number(arg[5]); !ret && size <= 8 && n; n--) {
        uint64_t operand = number(arg[3]), expected = number(arg[4]);

        if (op == DISTKVM_COMPARE_SWAP) {
            memcpy(buffer, &expected, size);
            memcpy(buffer + size, &operand, size);
        } else {
            memcpy(buffer, &operand, size);
        }
        ret = distkvm_get_page(number(arg[1]), DISTKVM_RMW, buffer, size, op);
        memcpy(&value, buffer, size);
    }
    return answer(ret, value);
}

static int run_vld(char **arg)
{
    return answer(distkvm_vld_page(number(arg[0]), read_or_write(arg[1])), 0);
}

static int run_range(char **arg)
{
    return answer(distkvm_vld_range(number(arg[0]), number(arg[1]),
                                    read_or_write(arg[2])), 0);
}

static int run_inv(char **arg)
{
    return answer(distkvm_inv_page(number(arg[0]), read_or_write(arg[1])), 0);
}

static int run_valid(char **arg)
{
    int ret = distkvm_page_is_valid(number(arg[0]), read_or_write(arg[1]));

    return ret < 0 ? ret : answer(0, ret);
}

/* ---------------------------------------------------------------- locks */

/*
 * Under a lock that is a word, count in another word in two steps: what is
 * lost if the lock, or the order of accesses, is not.
 */
static int run_locked(char **arg)
{
    uint64_t lock = number(arg[0]), word = number(arg[1]), one, value;
    int ret = 0;

    for (uint64_t n = number(arg[2]); !ret && n; n--) {
        do {
            ret = distkvm_get_page(lock, DISTKVM_RMW, &one, 8,
                                   DISTKVM_TEST_AND_SET);
        } while (!ret && one);
        ret = ret ?: distkvm_mem_access(word, DISTKVM_READ, &value, 8);
        value++;
        ret = ret ?: distkvm_mem_access(word, DISTKVM_WRITE, &value, 8);
        one = 0;
        ret = ret ?: distkvm_mem_access(lock, DISTKVM_WRITE, &one, 8);
    }
    return answer(ret, value);
}

static int read_word(bool touch, uint64_t addr, uint64_t *value)
{
    /* Volatile: other nodes write to it. */
    volatile uint64_t *word = (uint64_t *)(memory + addr);

    if (touch) {
        *value = *word;
        return 0;
    }
    return distkvm_mem_access(addr, DISTKVM_READ, value, 8);
}

static int write_word(bool touch, uint64_t addr, uint64_t value)
{
    /* Volatile: other nodes look at it. */
    volatile uint64_t *word = (uint64_t *)(memory + addr);

    if (touch) {
        *word = value;
        return 0;
    }
    return distkvm_mem_access(addr, DISTKVM_WRITE, &value, 8);
}

/*
 * Increment a word of one's own for so many ms, with so many us of other work
 * after each: by touch or by MEM_ACCESS.
 */
static int run_count(char **arg)
{
    uint64_t addr = number(arg[1]), value = 0, n = 0;
    int64_t now = probe_now_ns(), end = now + number(arg[2]) * 1000000;
    int64_t work = number(arg[3]) * 1000;
    bool touch = !strcmp(arg[0], "touch");
    int ret = 0;

    while (!ret && now < end) {
        int64_t next;

        ret = read_word(touch, addr, &value);
        ret = ret ?: write_word(touch, addr, value + 1);
        n++;
        now = probe_now_ns();
        for (next = now + work; now < next; now = probe_now_ns()) {
            /* the other work */
        }
    }
    return answer(ret, n);
}

/* Fill pages with what cannot be said in fewer bytes. */
static int run_noise(char **arg)
{
    uint64_t *at = (uint64_t *)(memory + number(arg[0])), x = number(arg[2]);

    for (uint64_t n = number(arg[1]) * PAGE / sizeof(*at); n; n--) {
        /* Marsaglia's xorshift64. */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *at++ = x;
    }
    return answer(x ? 0 : -EINVAL, x);
}

/* Take turns: whoever's turn a word says it is hands it on. */
static int run_turns(char **arg)
{
    uint64_t addr = number(arg[1]), me = number(arg[2]);
    uint64_t nodes = number(arg[3]), times = number(arg[4]), value = 0;
    bool touch = !strcmp(arg[0], "touch");
    int ret = nodes ? 0 : -EINVAL;

    while (!ret && times) {
        ret = read_word(touch, addr, &value);
        if (!ret && value % nodes == me) {
            ret = write_word(touch, addr, value + 1);
            times--;
        }
    }
    return answer(ret, value);
}

/*
 * For so many ms, write one number after another into each of these pages:
 * first its first word, then its last.
 */
static int run_stamp(char **arg)
{
    uint64_t addr = number(arg[0]), end = addr + number(arg[1]) * PAGE, n = 0;
    int64_t until = probe_now_ns() + number(arg[2]) * 1000000;

    while (probe_now_ns() < until) {
        n++;
        for (uint64_t page = addr; page < end; page += PAGE) {
            write_word(true, page, n);
            write_word(true, page + PAGE - 8, n);
        }
    }
    return answer(0, n);
}

/*
 * Meanwhile elsewhere: the number of times that a last word was ahead of the
 * first, or that a word went back.  Each word is compared with itself: a page
 * that is taken from the writer between its two writes has its first word
 * ahead of its last for as long as it is read.
 */
static int run_watch(char **arg)
{
    uint64_t addr = number(arg[0]), pages = number(arg[1]), wrong = 0;
    int64_t until = probe_now_ns() + number(arg[2]) * 1000000;
    g_autofree uint64_t *seen = g_new0(uint64_t, 2 * pages);

    while (probe_now_ns() < until) {
        for (uint64_t i = 0; i < pages; i++) {
            uint64_t first, last;

            read_word(true, addr + (i + 1) * PAGE - 8, &last);
            read_word(true, addr + i * PAGE, &first);
            wrong += last > first || first < seen[2 * i] ||
                     last < seen[2 * i + 1];
            seen[2 * i] = first;
            seen[2 * i + 1] = last;
        }
    }
    return answer(0, wrong);
}

/* ---------------------------------------------------------------- probes */

/* touch r|w ADDRESS PAGES STRIDE PAUSE-US */
static int run_touch(char **arg)
{
    bool write = *arg[0] == 'w';
    uint8_t *first = memory + number(arg[1]);
    uint64_t pages = number(arg[2]), stride = number(arg[3]);
    Probe probe;

    probe_init(&probe, pages);
    for (uint64_t i = 0; i < pages; i++) {
        /* Volatile: the access itself is what is measured. */
        volatile uint8_t *at = first + i * stride * PAGE;
        int64_t start = probe_now_ns();

        if (write) {
            *at = i + 1;
        } else {
            (void)*at;
        }
        probe_add(&probe, probe_now_ns() - start);
        if (number(arg[4])) {
            g_usleep(number(arg[4]));
        }
    }
    probe_print(&probe);
    probe_free(&probe);
    return 0;
}

/* The whole range in order, as fast as it comes: bytes a second. */
static int run_scan(char **arg)
{
    /* Volatile: nobody looks at what is read. */
    volatile uint8_t *first = memory + number(arg[0]);
    uint64_t pages = number(arg[1]);
    int64_t start = probe_now_ns();

    for (uint64_t i = 0; i < pages * PAGE; i += 64) {
        (void)first[i];
    }
    printf("ok %.0f\n", pages * PAGE * 1e9 / (probe_now_ns() - start));
    return 0;
}

static int run_floor(char **arg)
{
    ProbeKind kind = *arg[0] == 'r' ? PROBE_READ
                     : *arg[0] == 'w' ? PROBE_WRITE : PROBE_UPGRADE;
    Probe probe;

    probe_init(&probe, number(arg[1]));
    if (!probe_floor(&probe, number(arg[1]), kind,
                     number(arg[2]))) {
        return -ENOSYS;
    }
    probe_print(&probe);
    probe_free(&probe);
    return 0;
}

static int run_wake(char **arg)
{
    Probe probe;

    probe_init(&probe, number(arg[0]));
    probe_wake(&probe, number(arg[0]));
    probe_print(&probe);
    probe_free(&probe);
    return 0;
}

static int run_pin(char **arg)
{
    return answer(probe_pin(atoi(arg[0])) ? 0 : -EPERM, 0);
}

static const Command commands[] = {
    { "load", "ADDRESS SIZE", 2, run_load },
    { "store", "ADDRESS SIZE VALUE", 3, run_store },
    { "get", "ADDRESS SIZE", 2, run_get },
    { "put", "ADDRESS SIZE VALUE", 3, run_put },
    { "fill", "ADDRESS BYTE", 2, run_fill },
    { "sum", "ADDRESS", 1, run_sum },
    { "rmw", "OP ADDRESS SIZE OPERAND EXPECTED TIMES", 6, run_rmw },
    { "vld", "ADDRESS r|w", 2, run_vld },
    { "inv", "ADDRESS r|w", 2, run_inv },
    { "range", "ADDRESS LENGTH r|w", 3, run_range },
    { "valid", "ADDRESS r|w", 2, run_valid },
    { "locked", "LOCK WORD TIMES", 3, run_locked },
    { "count", "touch|access ADDRESS MS WORK-US", 4, run_count },
    { "turns", "touch|access ADDRESS ME NODES TIMES", 5, run_turns },
    { "noise", "ADDRESS PAGES SEED", 3, run_noise },
    { "stamp", "ADDRESS PAGES MS", 3, run_stamp },
    { "watch", "ADDRESS PAGES MS", 3, run_watch },
    { "touch", "r|w ADDRESS PAGES STRIDE PAUSE-US", 5, run_touch },
    { "scan", "ADDRESS PAGES", 2, run_scan },
    { "floor", "r|w|u FAULTS PAUSE-US", 3, run_floor },
    { "wake", "TIMES", 1, run_wake },
    { "pin", "CPU", 1, run_pin },
};

static void execute(char *line)
{
    g_auto(GStrv) word = g_strsplit(g_strchomp(line), " ", ARGS_MAX);
    int args = (int)g_strv_length(word) - 1;
    int ret;

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const Command *c = &commands[i];

        if (args >= 0 && !strcmp(word[0], c->name)) {
            ret = args == c->args ? c->run(word + 1) : -EINVAL;
            if (ret) {
                printf("error %s (%s %s)\n", strerror(-ret), c->name,
                       c->usage);
            }
            fflush(stdout);
            return;
        }
    }
    printf("error no such command\n");
    fflush(stdout);
}

/* OPTION=NUMBER */
static bool set_option(DistkvmInit *init, const char *text)
{
    const struct {
        const char *name;
        unsigned *value;
    } options[] = {
        { "hold-us=", &init->hold_us }, { "spin-us=", &init->spin_us },
        { "readahead=", &init->readahead },
        { "delta-pages=", &init->delta_pages },
        { "affinity=", &init->affinity },
        { "companions=", &init->companions },
        { "bind=", &init->bind },
        { "lanes=", &init->lanes },
        { "insecure=", &init->insecure },
        { "dead-after-ms=", &init->dead_after_ms },
        { "join-timeout=", &init->join_timeout_s },
    };

    const struct {
        const char *name;
        const char **value;
    } texts[] = {
        { "tls-dir=", &init->psk_dir }, { "transport=", &init->transport },
        { "mem=", &init->mem },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (g_str_has_prefix(text, texts[i].name)) {
            *texts[i].value = text + strlen(texts[i].name);
            return true;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        if (g_str_has_prefix(text, options[i].name)) {
            *options[i].value = number(text + strlen(options[i].name));
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    char line[256], *why = NULL;
    DistkvmInit init;

    distkvm_init_defaults(&init);
    if (argc < 4) {
        fprintf(stderr, "distkvm-emulator NODE PEERS BYTES [OPTION=N]...\n");
        return 2;
    }
    init.node = number(argv[1]);
    init.peers = argv[2];
    init.bytes = number(argv[3]);
    for (int i = 4; i < argc; i++) {
        if (!set_option(&init, argv[i])) {
            fprintf(stderr, "distkvm-emulator: no option '%s'\n", argv[i]);
            return 2;
        }
    }
    if (distkvm_init(&init, &why)) {
        fprintf(stderr, "distkvm-emulator: %s\n", why);
        free(why);
        return 1;
    }
    memory = distkvm_memory();
    printf("ok joined\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        execute(line);
    }
    distkvm_end();
    return 0;
}
