/*
 * wire-print: the frames as text
 *
 * Prints docs/wire-frames.rst from the tables that pack and unpack frames
 * (wire/wire.c, wire/body.c) and from the rules for them (wire/rules.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/pack.h"
#include "accel/distkvm/wire/rules.h"

#define NAME_MAX_CHARS 10
#define FIELD_RULE "======  ====  ==========  ===============================" \
                   "=====================\n"
#define RULE_RULE "=======  =======  ========  ================\n"

static void print_title(const char *title, char line)
{
    printf("%s\n", title);
    for (const char *c = title; *c; c++) {
        putchar(line);
    }
    printf("\n\n");
}

/* Rows for the fields of @layout, which begin at offset @at. */
static void print_fields(const WireLayout *layout, size_t at)
{
    if (!layout->n) {
        printf("No body.\n\n");
        return;
    }
    printf("%soffset  size  field       meaning\n%s", FIELD_RULE, FIELD_RULE);
    for (unsigned i = 0; i < layout->n; i++) {
        const WireField *f = &layout->fields[i];
        bool bounded = f->name && (f->min || f->max != UINT64_MAX) &&
                       f->max != f->min && f->max != 1;

        g_assert(!f->name || strlen(f->name) <= NAME_MAX_CHARS);
        printf("%-6zu  %-4u  %-*s  %s", at, f->bytes * f->count,
               NAME_MAX_CHARS, f->name ?: "", f->name ? f->text : "zero");
        if (f->name && f->min == f->max) {
            printf(": 0x%" PRIx64, f->min);
        } else if (bounded) {
            printf("; %" PRIu64 " to %" PRIu64, f->min, f->max);
        }
        printf("\n");
        at += f->bytes * f->count;
    }
    printf("%s\n", FIELD_RULE);
}

static void print_kinds(const WireLayout *layout)
{
    const WireKind *k = layout->kinds;

    if (!k) {
        printf("Kind: 0.\n\n");
        return;
    }
    printf("Kinds: ");
    for (bool first = true; k->text; k++, first = false) {
        printf("%s%u %s", first ? "" : ", ", k->kind, k->text);
    }
    printf(".\n\n");
}

static void print_rules(uint8_t type)
{
    FrameRule row;

    printf("%skind     nodes    from      bytes of payload\n%s", RULE_RULE,
           RULE_RULE);
    for (unsigned n = 0; rules_frame_row(n, &row); n++) {
        g_autofree char *kinds = NULL, *bytes = NULL;

        if (row.type != type) {
            continue;
        }
        kinds = row.kind_min == row.kind_max
                ? g_strdup_printf("%u", row.kind_min)
                : g_strdup_printf("%u to %u", row.kind_min, row.kind_max);
        bytes = row.len_min == row.len_max
                ? g_strdup_printf("%u", row.len_min)
                : g_strdup_printf("%u to %u", row.len_min, row.len_max);
        printf("%-7s  %s to %s   %-8s  %s\n", kinds, row.from, row.to,
               row.phase, bytes);
    }
    printf("%s\n", RULE_RULE);
}

int main(void)
{
    printf(".. This page is generated; to renew it:\n"
           "   build/core/tests/sim/wire-print\n\n");
    print_title("Frames", '=');
    printf("``docs/wire-format.rst`` explains them.  Numbers are"
           " little-endian.  A frame is a head,\nthe body of its type, and a"
           " payload; offsets are from the head's first byte.\n\n"
           "Nodes: B is the boot node, F a follower, A any node.  \"From\" is"
           " the state from which on\na peer may send the frame.\n\n");
    print_title("Head", '-');
    print_fields(wire_head_layout(), 0);
    for (unsigned type = WIRE_INVALID + 1; type < WIRE__MAX; type++) {
        const WireLayout *layout = wire_layout(type);
        g_autofree char *title = g_strdup_printf("Type %u: %s", type,
                                                 layout->name);

        print_title(title, '-');
        printf("%s\n\n", layout->text);
        print_kinds(layout);
        print_fields(layout, WIRE_HEAD_BYTES);
        print_rules(type);
    }
    return 0;
}
