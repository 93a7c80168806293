/*
 * Sections of a memory map, and how two lists of them differ
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/machine/map-list.h"

/* Of a small machine: two banks of RAM around a ROM. */
static const MapSection usual[] = {
    { .addr = 0, .size = 0xa0000, .block = (char *)"ram" },
    { .addr = 0xf0000, .size = 0x10000, .block = (char *)"bios",
      .rom = true, .readonly = true },
    { .addr = 0x100000, .size = 0x700000, .offset = 0x100000,
      .block = (char *)"ram" },
};

static GArray *list_of(const MapSection *sections, size_t n)
{
    GArray *list = map_list_new();

    for (size_t i = 0; i < n; i++) {
        MapSection s = sections[i];

        s.block = g_strdup(s.block);
        g_array_append_val(list, s);
    }
    return list;
}

/* "-" and the address of each that is gone, "+" of each that is new. */
static char *delta_text(const GArray *before, const GArray *now)
{
    GString *text = g_string_new(NULL);
    MapDelta delta;

    map_list_compare(&delta, before, now);
    for (guint i = 0; i < delta.removed->len; i++) {
        g_string_append_printf(text, "-%" PRIx64 " ",
                               g_array_index(delta.removed, uint64_t, i));
    }
    for (guint i = 0; i < delta.added->len; i++) {
        const MapSection *s = g_ptr_array_index(delta.added, i);

        g_string_append_printf(text, "+%" PRIx64 " ", s->addr);
    }
    g_assert_cmpint(map_delta_is_empty(&delta), ==, !text->len);
    map_delta_clear(&delta);
    return g_string_free(text, false);
}

static void check(const MapSection *before, size_t n_before,
                  const MapSection *now, size_t n_now, const char *wanted)
{
    g_autoptr(GArray) old = list_of(before, n_before);
    g_autoptr(GArray) new = list_of(now, n_now);
    g_autofree char *text = delta_text(old, new);

    g_assert_cmpstr(text, ==, wanted);
}

static void test_same(void)
{
    check(usual, 3, usual, 3, "");
    check(NULL, 0, NULL, 0, "");
}

static void test_ends(void)
{
    check(NULL, 0, usual, 3, "+0 +f0000 +100000 ");
    check(usual, 3, NULL, 0, "-0 -f0000 -100000 ");
    check(usual, 2, usual, 3, "+100000 ");
    check(usual + 1, 2, usual, 3, "+0 ");
    check(usual, 3, usual + 1, 2, "-0 ");
}

/* Each member of a section counts. */
static void test_changed(void)
{
    for (int member = 0; member < 6; member++) {
        MapSection now[3];

        memcpy(now, usual, sizeof(now));
        switch (member) {
        case 0:
            now[1].size /= 2;
            break;
        case 1:
            now[1].offset = 0x1000;
            break;
        case 2:
            now[1].block = (char *)"other";
            break;
        case 3:
            now[1].rom = false;
            break;
        case 4:
            now[1].readonly = false;
            break;
        case 5:
            now[1].owner = 2;
            break;
        }
        check(usual, 3, now, 3, "-f0000 +f0000 ");
    }
}

/* A device has no block, and differs from RAM that has. */
static void test_device(void)
{
    MapSection now[3];

    memcpy(now, usual, sizeof(now));
    now[1].block = NULL;
    check(usual, 3, now, 3, "-f0000 +f0000 ");
    check(now, 3, now, 3, "");
}

/* A section in two: the first half begins where the whole one did. */
static void test_split(void)
{
    const MapSection halves[] = {
        { .addr = 0, .size = 0x50000, .block = (char *)"ram" },
        { .addr = 0x50000, .size = 0x50000, .offset = 0x50000,
          .block = (char *)"ram" },
        usual[1], usual[2],
    };

    check(usual, 3, halves, 4, "-0 +0 +50000 ");
    check(halves, 4, usual, 3, "-0 -50000 +0 ");
}

/* The old list becomes the new one by the sections that are told. */
static void test_random(void)
{
    for (int round = 0; round < 2000; round++) {
        g_autoptr(GArray) old = map_list_new();
        g_autoptr(GArray) new = map_list_new();
        GHashTable *have = g_hash_table_new(NULL, NULL);
        MapDelta delta;

        for (uintptr_t addr = 1; addr <= 20; addr++) {
            MapSection s = { .addr = addr, .size = 1 };

            s.offset = g_test_rand_int_range(0, 2);
            if (g_test_rand_bit()) {
                g_array_append_val(old, s);
                g_hash_table_insert(have, (gpointer)addr,
                                    (gpointer)(uintptr_t)(s.offset + 1));
            }
            s.offset = g_test_rand_int_range(0, 2);
            if (g_test_rand_bit()) {
                g_array_append_val(new, s);
            }
        }
        map_list_compare(&delta, old, new);
        for (guint i = 0; i < delta.removed->len; i++) {
            uint64_t addr = g_array_index(delta.removed, uint64_t, i);

            g_assert_true(g_hash_table_remove(have,
                                              (gpointer)(uintptr_t)addr));
        }
        for (guint i = 0; i < delta.added->len; i++) {
            const MapSection *s = g_ptr_array_index(delta.added, i);

            /* False: it is there, and was not removed. */
            g_assert_true(g_hash_table_insert(
                have, (gpointer)(uintptr_t)s->addr,
                (gpointer)(uintptr_t)(s->offset + 1)));
        }
        g_assert_cmpint(g_hash_table_size(have), ==, new->len);
        for (guint i = 0; i < new->len; i++) {
            const MapSection *s = &g_array_index(new, MapSection, i);

            g_assert_cmpint(
                (uintptr_t)g_hash_table_lookup(have,
                                               (gpointer)(uintptr_t)s->addr),
                ==, s->offset + 1);
        }
        map_delta_clear(&delta);
        g_hash_table_unref(have);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/map-list/same", test_same);
    g_test_add_func("/map-list/ends", test_ends);
    g_test_add_func("/map-list/changed", test_changed);
    g_test_add_func("/map-list/device", test_device);
    g_test_add_func("/map-list/split", test_split);
    g_test_add_func("/map-list/random", test_random);
    return g_test_run();
}
