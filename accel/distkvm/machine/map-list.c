/*
 * distkvm: sections of a memory map, and how two lists of them differ
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "map-list.h"

static void section_clear(gpointer opaque)
{
    MapSection *s = opaque;

    g_free(s->block);
}

GArray *map_list_new(void)
{
    GArray *list = g_array_new(false, false, sizeof(MapSection));

    g_array_set_clear_func(list, section_clear);
    return list;
}

static bool is_same(const MapSection *a, const MapSection *b)
{
    return a->addr == b->addr && a->size == b->size &&
           a->offset == b->offset && a->rom == b->rom &&
           a->readonly == b->readonly && a->owner == b->owner &&
           !g_strcmp0(a->block, b->block);
}

void map_list_compare(MapDelta *delta, const GArray *before,
                      const GArray *now)
{
    guint i = 0, k = 0;

    delta->removed = g_array_new(false, false, sizeof(uint64_t));
    delta->added = g_ptr_array_new();
    while (i < before->len || k < now->len) {
        MapSection *old = i < before->len
                          ? &g_array_index(before, MapSection, i) : NULL;
        MapSection *new = k < now->len
                          ? &g_array_index(now, MapSection, k) : NULL;

        if (old && new && is_same(old, new)) {
            i++;
            k++;
        } else if (old && (!new || old->addr <= new->addr)) {
            g_array_append_val(delta->removed, old->addr);
            i++;
        } else {
            g_ptr_array_add(delta->added, new);
            k++;
        }
    }
}

bool map_delta_is_empty(const MapDelta *delta)
{
    return !delta->removed->len && !delta->added->len;
}

void map_delta_clear(MapDelta *delta)
{
    g_array_unref(delta->removed);
    g_ptr_array_unref(delta->added);
}
