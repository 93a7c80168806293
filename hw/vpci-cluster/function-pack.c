/*
 * distkvm: the description of a PCI function, as bytes
 *
 * Little-endian, without gaps, in the order of pack() below.  A reader keeps a
 * cursor that never passes the end: once a member is cut off all that follow
 * are, and they read as zero.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "function-pack.h"

/* ------------------------------------------------------------------ writing */

static void put(uint8_t **at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        *(*at)++ = value >> 8 * i;
    }
}

static void put_bytes(uint8_t **at, const void *from, size_t bytes)
{
    memcpy(*at, from, bytes);
    *at += bytes;
}

static void put_text(uint8_t **at, const char *text)
{
    size_t len = strlen(text);

    put(at, len, 1);
    put_bytes(at, text, len);
}

size_t vpci_function_pack(const VpciFunction *f, uint8_t *bytes)
{
    uint8_t *at = bytes;

    put(&at, f->generation, 8);
    put(&at, f->devfn, 1);
    put(&at, f->multifunction, 1);
    put(&at, f->express, 1);
    put(&at, f->pm_cap, 1);
    put(&at, f->exp_cap, 1);
    put(&at, f->rom_bytes, 4);
    for (unsigned i = 0; i < VPCI_BARS; i++) {
        put(&at, f->bar[i].size, 8);
        put(&at, f->bar[i].type, 1);
    }
    put_text(&at, f->id);
    put(&at, f->boots, 1);
    for (unsigned i = 0; i < f->boots; i++) {
        put(&at, f->boot[i].index, 4);
        put_text(&at, f->boot[i].suffix);
    }
    put_bytes(&at, f->config, vpci_function_config_bytes(f));
    return at - bytes;
}

/* ------------------------------------------------------------------ reading */

typedef struct Cursor {
    const uint8_t *at, *end;
    const char *why;            /* the first member that was wrong; or NULL */
} Cursor;

/* The next @bytes bytes, or NULL and from then on nothing. */
static const uint8_t *take(Cursor *c, size_t bytes)
{
    const uint8_t *at = c->at;

    if (c->why) {
        return NULL;
    }
    if ((size_t)(c->end - at) < bytes) {
        c->why = "that is cut off";
        return NULL;
    }
    c->at += bytes;
    return at;
}

/* A number of at most @max; @why says what is wrong with a greater one. */
static uint64_t get(Cursor *c, unsigned bytes, uint64_t max, const char *why)
{
    const uint8_t *at = take(c, bytes);
    uint64_t value = 0;

    for (unsigned i = 0; at && i < bytes; i++) {
        value |= (uint64_t)at[i] << 8 * i;
    }
    if (value > max) {
        c->why = why;
        return 0;
    }
    return value;
}

/* A text of at most @max bytes, none of them 0; @to has room for one more. */
static void get_text(Cursor *c, char *to, size_t max, const char *why)
{
    size_t len = get(c, 1, max, why);
    const uint8_t *from = take(c, len);

    if (from && memchr(from, 0, len)) {
        c->why = why;
    } else if (from) {
        memcpy(to, from, len);
    }
}

static void get_boots(Cursor *c, VpciFunction *f)
{
    f->boots = get(c, 1, VPCI_BOOTS_MAX, "with too many boot entries");
    for (unsigned i = 0; i < f->boots; i++) {
        f->boot[i].index = get(c, 4, INT32_MAX,
                               "with a boot index that is no bootindex");
        get_text(c, f->boot[i].suffix, VPCI_BOOT_SUFFIX_MAX,
                 "with a boot path that is too long");
    }
}

const char *vpci_function_unpack(VpciFunction *f, const uint8_t *bytes,
                                 size_t len)
{
    Cursor c = { .at = bytes, .end = bytes + len };
    const char *flag = "with a flag that is neither 0 nor 1";
    const uint8_t *config;

    memset(f, 0, sizeof(*f));
    f->generation = get(&c, 8, UINT64_MAX, NULL);
    f->devfn = get(&c, 1, UINT8_MAX, NULL);
    f->multifunction = get(&c, 1, 1, flag);
    f->express = get(&c, 1, 1, flag);
    f->pm_cap = get(&c, 1, UINT8_MAX, NULL);
    f->exp_cap = get(&c, 1, UINT8_MAX, NULL);
    f->rom_bytes = get(&c, 4, VPCI_ROM_BYTES_MAX, "with a ROM over 16 MiB");
    for (unsigned i = 0; i < VPCI_BARS; i++) {
        f->bar[i].size = get(&c, 8, UINT64_MAX, NULL);
        f->bar[i].type = get(&c, 1, 0xf, "with a BAR of no type");
    }
    get_text(&c, f->id, VPCI_ID_MAX, "with an id that is too long");
    get_boots(&c, f);
    config = take(&c, vpci_function_config_bytes(f));
    if (config) {
        memcpy(f->config, config, vpci_function_config_bytes(f));
    }
    if (!c.why && c.at != c.end) {
        c.why = "with bytes behind its end";
    }
    return c.why;
}
