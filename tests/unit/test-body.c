/*
 * Bodies of frames: every member goes over the wire, within its bounds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "accel/distkvm/wire/page-list.h"
#include "accel/distkvm/wire/pack.h"
#include "accel/distkvm/wire/rules.h"

static uint64_t member(const WireFrame *frame, const WireField *f, unsigned k)
{
    const uint8_t *at = (const uint8_t *)frame + f->at + k * f->bytes;
    uint64_t value = 0;

    for (unsigned i = 0; i < f->bytes; i++) {
        value |= (uint64_t)at[i] << 8 * i;
    }
    return value;
}

static void set_member(WireFrame *frame, const WireField *f, unsigned k,
                       uint64_t value)
{
    memcpy((char *)frame + f->at + k * f->bytes, &value, f->bytes);
}

static uint64_t any(void)
{
    return (uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
}

/* Within the bounds of @f, often at one of them. */
static uint64_t any_of(const WireField *f)
{
    uint64_t most = f->bytes < 8 ? (UINT64_C(1) << 8 * f->bytes) - 1
                                 : UINT64_MAX;
    uint64_t span;

    most = MIN(most, f->max);
    span = most - f->min;
    switch (g_test_rand_int_range(0, 4)) {
    case 0:
        return f->min;
    case 1:
        return most;
    default:
        return f->min + (span == UINT64_MAX ? any() : any() % (span + 1));
    }
}

static void fill(WireFrame *frame, uint8_t type)
{
    const WireLayout *layout = wire_layout(type);

    *frame = (WireFrame) { .type = type, .from = 1 };
    for (unsigned i = 0; i < layout->n; i++) {
        const WireField *f = &layout->fields[i];

        for (unsigned k = 0; f->name && k < f->count; k++) {
            set_member(frame, f, k, any_of(f));
        }
    }
}

static void test_round_trip(void)
{
    uint8_t buf[WIRE_FRONT_MAX];
    WireFrame in, out;

    for (unsigned n = 0; n < 2000; n++) {
        for (unsigned type = 1; type < WIRE__MAX; type++) {
            const WireLayout *layout = wire_layout(type);

            fill(&in, type);
            g_assert_true(wire_decode(buf, wire_encode(&in, buf), &out));
            g_assert_cmpint(out.len, ==, 0);
            for (unsigned i = 0; i < layout->n; i++) {
                const WireField *f = &layout->fields[i];

                for (unsigned k = 0; f->name && k < f->count; k++) {
                    g_assert_cmphex(member(&in, f, k), ==,
                                    member(&out, f, k));
                }
            }
        }
    }
}

/* A body that is cut off anywhere is none; what is behind it is payload. */
static void test_truncated(void)
{
    uint8_t buf[WIRE_FRONT_MAX + 1] = { 0 };
    WireFrame in, out;

    for (unsigned type = 1; type < WIRE__MAX; type++) {
        size_t front;

        fill(&in, type);
        front = wire_encode(&in, buf);
        for (size_t len = 0; len < front - WIRE_HEAD_BYTES; len++) {
            g_autofree uint8_t *exact = g_memdup2(buf, WIRE_HEAD_BYTES + len);

            exact[8] = len;
            g_assert_false(wire_decode(exact, WIRE_HEAD_BYTES + len, &out));
        }
        buf[8] = front + 1 - WIRE_HEAD_BYTES;
        g_assert_true(wire_decode(buf, front + 1, &out));
        g_assert_cmpint(out.len, ==, 1);
    }
}

/* One member at a time just outside of its bounds, and spare bytes not zero. */
static void test_bounds(void)
{
    uint8_t buf[WIRE_FRONT_MAX];
    unsigned tried = 0;
    WireFrame in, out;

    for (unsigned type = 1; type < WIRE__MAX; type++) {
        const WireLayout *layout = wire_layout(type);
        size_t at = WIRE_HEAD_BYTES, len;

        fill(&in, type);
        for (unsigned i = 0; i < layout->n; i++) {
            const WireField *f = &layout->fields[i];
            const uint64_t wrong[] = { f->min - 1, f->max + 1 };

            for (unsigned w = 0; w < 2; w++) {
                if (wrong[w] >= f->min && wrong[w] <= f->max) {
                    continue;
                }
                if (f->bytes < 8 && wrong[w] >> 8 * f->bytes) {
                    continue;
                }
                len = wire_encode(&in, buf);
                memcpy(buf + at, &wrong[w], f->bytes);
                g_assert_false(wire_decode(buf, len, &out));
                tried++;
            }
            at += f->bytes * f->count;
        }
    }
    /*
     * more, zero, spare; level; space, size (two); woke; two levels; a PCI
     * cycle's address and size (two), a PCI line's level.
     */
    g_assert_cmpint(tried, ==, 14);
}

static void test_random(void)
{
    unsigned decoded = 0;

    for (int n = 0; n < 200000; n++) {
        size_t len = g_test_rand_int_range(0, WIRE_FRONT_MAX + 20);
        g_autofree uint8_t *buf = g_malloc(len);
        WireFrame out, head = {
            .type = g_test_rand_int_range(1, WIRE__MAX),
        };
        uint8_t front[WIRE_FRONT_MAX];

        for (size_t i = 0; i < len; i++) {
            buf[i] = n & 1 ? g_test_rand_int() : g_test_rand_int_range(0, 2);
        }
        if (len < WIRE_HEAD_BYTES) {
            g_assert_false(wire_decode(buf, len, &out));
            continue;
        }
        wire_encode(&head, front);
        memcpy(buf, front, WIRE_HEAD_BYTES);
        buf[8] = len - WIRE_HEAD_BYTES;
        if (!wire_decode(buf, len, &out)) {
            continue;
        }
        decoded++;
        for (unsigned i = 0; i < wire_layout(out.type)->n; i++) {
            const WireField *f = &wire_layout(out.type)->fields[i];

            for (unsigned k = 0; f->name && k < f->count; k++) {
                g_assert_cmpuint(member(&out, f, k), >=, f->min);
                g_assert_cmpuint(member(&out, f, k), <=, f->max);
            }
        }
    }
    g_assert_cmpint(decoded, >, 10000);
}

/* A call's number is where rpc.c looks for it. */
static void test_calls(void)
{
    static const uint8_t types[] = {
        WIRE_IO, WIRE_IO_REPLY, WIRE_PIC_ACK, WIRE_PIC_VECTOR,
    };
    uint8_t buf[WIRE_FRONT_MAX];

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        WireFrame in, out;

        fill(&in, types[i]);
        in.call = 0x1122334455667788;
        g_assert_cmpstr(wire_layout(types[i])->fields[0].name, ==, "call");
        g_assert_true(wire_decode(buf, wire_encode(&in, buf), &out));
        g_assert_cmphex(out.call, ==, in.call);
    }
}

/* Each type has a layout, a rule, and fits into the room that it is given. */
static void test_tables(void)
{
    for (unsigned type = 1; type < WIRE__MAX; type++) {
        const WireLayout *layout = wire_layout(type);
        size_t bytes = 0;

        g_assert_nonnull(layout->name);
        g_assert_nonnull(layout->text);
        g_assert_true(rules_know_frame(type));
        for (unsigned i = 0; i < layout->n; i++) {
            bytes += layout->fields[i].bytes * layout->fields[i].count;
        }
        g_assert_cmpint(bytes, <=, WIRE_BODY_MAX);
    }
}

/* ---------------------------------------------------------- lists of pages */

static void test_list(void)
{
    uint8_t list[(PAGE_LIST_MAX - 1) * PAGE_LIST_ITEM_BYTES];
    WireFrame frame = {
        .type = WIRE_COH, .sub = COH_EV_GETM, .payload = list,
        .coh = { .more = PAGE_LIST_MAX - 1 }, .len = sizeof(list),
    };

    for (unsigned n = 0; n < PAGE_LIST_MAX - 1; n++) {
        const PageListItem item = { n + 0x1000000000000, ~(uint64_t)n };

        page_list_put(list, n, &item);
    }
    g_assert_true(page_list_is_valid(&frame));
    for (unsigned n = 0; n < PAGE_LIST_MAX - 1; n++) {
        const PageListItem item = page_list_get(&frame, n);

        g_assert_cmphex(item.page, ==, n + 0x1000000000000);
        g_assert_cmphex(item.version, ==, ~(uint64_t)n);
    }
    g_assert_cmphex(list[16], ==, 1);
    g_assert_cmphex(list[16 + 8], ==, 0xfe);
}

static void test_wrong_list(void)
{
    WireFrame frame = {
        .type = WIRE_COH, .sub = COH_EV_GETS, .coh = { .more = 2 }, .len = 32,
    };

    g_assert_true(page_list_is_valid(&frame));
    for (frame.len = 0; frame.len < 100; frame.len++) {
        g_assert_cmpint(page_list_is_valid(&frame), ==, frame.len == 32);
    }
    frame.len = 32;
    for (unsigned sub = 0; sub < 256; sub++) {
        frame.sub = sub;
        g_assert_cmpint(page_list_is_valid(&frame), ==,
                        sub == COH_EV_GETS || sub == COH_EV_GETM);
    }
    frame.sub = COH_EV_GETS;
    frame.coh.more = PAGE_LIST_MAX;
    frame.len = frame.coh.more * PAGE_LIST_ITEM_BYTES;
    g_assert_false(page_list_is_valid(&frame));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/body/round-trip", test_round_trip);
    g_test_add_func("/body/truncated", test_truncated);
    g_test_add_func("/body/bounds", test_bounds);
    g_test_add_func("/body/random", test_random);
    g_test_add_func("/body/calls", test_calls);
    g_test_add_func("/body/tables", test_tables);
    g_test_add_func("/page-list/round-trip", test_list);
    g_test_add_func("/page-list/wrong", test_wrong_list);
    return g_test_run();
}
