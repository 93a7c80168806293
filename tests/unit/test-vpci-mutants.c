/*
 * Do the tests of vpci-cluster notice?  Every mechanical mutation of every row
 * of its tables, each tested in a process of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hw/vpci-cluster/config-copy.h"
#include "hw/vpci-cluster/room.h"
#include "hw/vpci-cluster/slots.h"
#include "vpci-check.h"

typedef struct Mutation {
    const VpciCheck *checks;
    unsigned tried;
    GHashTable *survivors;
} Mutation;

/* Run the checks in a child: a mutant may crash, and a check aborts. */
static bool is_found(const VpciCheck *checks)
{
    const struct rlimit no_core = { 0, 0 };
    pid_t child = fork();
    int status;

    if (!child) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(60);
        for (const VpciCheck *c = checks; c->name; c++) {
            c->fn();
        }
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    return !WIFEXITED(status) || WEXITSTATUS(status);
}

/* A row has been changed as the words say. */
static void G_GNUC_PRINTF(2, 3) try_mutant(Mutation *m, const char *format,
                                           ...)
{
    va_list args;
    char *name;

    va_start(args, format);
    name = g_strdup_vprintf(format, args);
    va_end(args);
    m->tried++;
    if (is_found(m->checks)) {
        g_free(name);
    } else {
        g_hash_table_add(m->survivors, name);
    }
}

/* -------------------------------------------------------------- the tables */

static void mutate_slots(Mutation *m)
{
    for (unsigned s = 0; s < VPCI_SLOT__MAX; s++) {
        for (unsigned e = 0; e < VPCI_SLOT_EVENT__MAX; e++) {
            VpciSlotCell *cell = &vpci_slot_table[s][e], saved = *cell;

            for (unsigned next = 0; next < VPCI_SLOT__MAX; next++) {
                if (saved.result != VPCI_SLOT_OK || next != saved.next) {
                    *cell = (VpciSlotCell) { .next = next };
                    try_mutant(m, "slot %u + %u goes to %u", s, e, next);
                }
            }
            for (unsigned r = VPCI_SLOT_REFUSED; r <= VPCI_SLOT_BROKEN; r++) {
                if (r != saved.result) {
                    *cell = (VpciSlotCell) { .result = r, .why = "?" };
                    try_mutant(m, "slot %u + %u has result %u", s, e, r);
                }
            }
            *cell = saved;
        }
    }
}

static void mutate_copy(Mutation *m)
{
    for (unsigned i = 0; vpci_copy_rows[i].bits; i++) {
        VpciCopyRow *row = &vpci_copy_rows[i], saved = *row;

        row->at ^= 0x20;
        try_mutant(m, "copy row %u: elsewhere", i);
        *row = saved;
        for (unsigned bit = 0; bit < 8; bit++) {
            row->bits ^= 1 << bit;
            /* A row without bits is the table's end; other rules have none. */
            if (row->bits && (saved.rule == VPCI_COPY_FIXED ||
                              saved.rule == VPCI_COPY_KEPT)) {
                try_mutant(m, "copy row %u: bit %u", i, bit);
            }
            *row = saved;
        }
        for (unsigned rule = 0; rule < VPCI_COPY__MAX; rule++) {
            if (rule != saved.rule) {
                row->rule = rule;
                try_mutant(m, "copy row %u: rule %u", i, rule);
            }
        }
        *row = saved;
        row->forwarded = !saved.forwarded;
        try_mutant(m, "copy row %u: read elsewhere", i);
        *row = saved;
    }
}

static void mutate_classes(Mutation *m)
{
    for (unsigned i = 0; vpci_class_rules[i].because; i++) {
        VpciClassRule *rule = &vpci_class_rules[i], saved = *rule;

        for (unsigned bit = 0; bit < 16; bit++) {
            rule->mask ^= 1 << bit;
            try_mutant(m, "class rule %u: bit %u of the mask", i, bit);
            *rule = saved;
            rule->value ^= 1 << bit;
            try_mutant(m, "class rule %u: bit %u", i, bit);
            *rule = saved;
        }
    }
}

static void mutate_caps(Mutation *m)
{
    for (unsigned i = 0; vpci_cap_rules[i].because; i++) {
        VpciCapRule *rule = &vpci_cap_rules[i], saved = *rule;

        for (unsigned bit = 0; bit < 16; bit++) {
            rule->id ^= 1 << bit;
            try_mutant(m, "capability rule %u: bit %u", i, bit);
            *rule = saved;
            rule->vendor ^= 1 << bit;
            try_mutant(m, "capability rule %u: bit %u of the vendor", i, bit);
            *rule = saved;
        }
    }
}

static void mutate_bars(Mutation *m)
{
    for (unsigned i = 0; vpci_bar_rules[i].max; i++) {
        VpciBarRule *rule = &vpci_bar_rules[i], saved = *rule;

        for (int up = 0; up <= 1; up++) {
            rule->min = up ? saved.min * 2 : saved.min / 2;
            try_mutant(m, "BAR rule %u: least, up %d", i, up);
            *rule = saved;
            rule->max = up ? saved.max * 2 : saved.max / 2;
            try_mutant(m, "BAR rule %u: most, up %d", i, up);
            *rule = saved;
        }
        for (unsigned bit = 0; bit < 4; bit++) {
            rule->type ^= 1 << bit;
            try_mutant(m, "BAR rule %u: bit %u of the type", i, bit);
            *rule = saved;
        }
    }
}

static void mutate_limits(Mutation *m)
{
    for (unsigned i = 0; i < VPCI_MACHINE__MAX * VPCI_FIRMWARE__MAX; i++) {
        VpciLimit *limit = &vpci_limits[0][0] + i, saved = *limit;

        for (int step = -1; step <= 1; step += 2) {
            limit->io_max = saved.io_max + step;
            try_mutant(m, "limit %u: ports %+d", i, step);
            *limit = saved;
            limit->mem_end = saved.mem_end + step * (2 << 20);
            try_mutant(m, "limit %u: end %+d", i, step);
            *limit = saved;
            limit->mem_first = saved.mem_first + step * (2 << 20);
            try_mutant(m, "limit %u: first %+d", i, step);
            *limit = saved;
        }
    }
}

/* ---------------------------------------------------------------- the tests */

static const struct {
    const char *name;
    const VpciCheck *checks;
    void (*mutate)(Mutation *m);
    unsigned least;             /* mutants, so that none is forgotten */
} tables[] = {
    { "slots", vpci_slot_checks, mutate_slots, 280 },
    { "copy", vpci_copy_checks, mutate_copy, 131 },
    { "classes", vpci_function_checks, mutate_classes, 96 },
    { "capabilities", vpci_function_checks, mutate_caps, 96 },
    { "bars", vpci_function_checks, mutate_bars, 40 },
    { "limits", vpci_room_checks, mutate_limits, 24 },
};

static void test_table(gconstpointer opaque)
{
    unsigned i = GPOINTER_TO_UINT(opaque);
    Mutation m = {
        .checks = tables[i].checks,
        .survivors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                           NULL),
    };
    GHashTableIter iter;
    gpointer name;

    g_assert_false(is_found(m.checks));
    tables[i].mutate(&m);
    g_test_message("%u mutants", m.tried);
    g_hash_table_iter_init(&iter, m.survivors);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_test_message("survives: %s", (char *)name);
    }
    g_assert_cmpint(g_hash_table_size(m.survivors), ==, 0);
    g_assert_cmpint(m.tried, >=, tables[i].least);
    g_hash_table_unref(m.survivors);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_autofree char *path = g_strdup_printf("/vpci-mutants/%s",
                                                tables[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_table);
    }
    return g_test_run();
}
